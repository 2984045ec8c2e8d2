"""LiveCodeBench's hidden tests: base64 of zlib of a pickle of one JSON text, read unpickled.

A pickle is a program, and the reader that everybody uses runs it. Here its opcodes are looked at
and never carried out: what is accepted is exactly one text, and what goes around it.
"""

import base64
import binascii
import json
import pickletools
import zlib
from typing import Any

# A test set of 4.35 GB holds none this large.
_MOST_BYTES = 1 << 30
# What may stand around the text: framing, memory marks, and the end.
_AROUND = ("PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP")
_NEWEST = 5
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")


def read_private_tests(encoded: str) -> Any:
    """The JSON value; raises ValueError for anything but one text, or text that is no JSON.

    Plain JSON is taken too: some copies of the data have it.
    """
    if encoded.lstrip().startswith("["):
        return json.loads(encoded)
    try:
        packed = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError(f"it is no base64 ({error})") from error
    return json.loads(text_of_pickle(_unpacked(packed)))


def text_of_pickle(data: bytes) -> str:
    """The one text that a pickle holds. Raises ValueError for every other pickle."""
    texts = []
    last = ""
    try:
        for opcode, argument, _ in pickletools.genops(data):
            last = opcode.name
            if last in _TEXTS:
                texts.append(argument)
            elif last not in _AROUND or (last == "PROTO" and int(argument or 0) > _NEWEST):
                raise ValueError(f"its pickle has an opcode {last}; one text is all that is read")
    except (IndexError, UnicodeDecodeError, OverflowError) as error:
        raise ValueError(f"its pickle is broken ({error})") from error
    if last != "STOP" or len(texts) != 1 or not isinstance(texts[0], str):
        raise ValueError(f"its pickle holds {len(texts)} texts, not one")
    return texts[0]


def _unpacked(packed: bytes) -> bytes:
    """As much as may be: a few bytes can unpack to more than the memory holds."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"it is no zlib ({error})") from error
    if unpacker.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {_MOST_BYTES:,} bytes")
    if not unpacker.eof:
        raise ValueError("it ends in the middle")
    return data
