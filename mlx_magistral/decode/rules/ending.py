"""The shortest ending of an answer that has begun: a search over what its grammar allows.

Byte by byte, on copies of the matcher. All prefixes of one length are kept side by side, those
that are alike as one, so a pattern that can go on for ever is no trap.
"""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from llguidance import LLMatcher

# Different prefixes kept, ids tried after each, and the longest ending looked for.
_WIDTH, _TRIED, _MOST_BYTES = 16, 40, 1000
# Where more bytes may come, most are alike: of letters and digits a few are tried, and the signs.
_FEW = b"09atA"

_QUOTE, _ESCAPE = ord('"'), ord("\\")
CLOSERS, _OPENERS, _NUMBER = b"}]", b"{[", b"0123456789.eE+-"
_SPACES = b" \t\r\n"
# The likeliest to end soon first.
_FIRST = b'"0123456789-tfnabcdeghijklmopqrsuvwxyz'
_ORDER = _FIRST + bytes(sorted(set(range(256)) - {*_FIRST, *_SPACES}))
_SIGNS = bytes(byte for byte in range(0x21, 0x7F) if not chr(byte).isalnum() and byte != _ESCAPE)


class JsonPlace(NamedTuple):
    """Where in a JSON text the next byte falls, as far as its bytes tell."""

    in_string: bool = False
    is_escaped: bool = False
    in_number: bool = False
    depth: int = 0

    @property
    def in_value(self) -> bool:
        """Inside a string or a number, which could go on."""
        return self.in_string or self.in_number

    def after(self, byte: int) -> "JsonPlace":
        """The place behind one more byte."""
        if self.in_string:
            if self.is_escaped:
                return self._replace(is_escaped=False)
            return self._replace(in_string=byte != _QUOTE, is_escaped=byte == _ESCAPE)
        if byte == _QUOTE:
            return self._replace(in_string=True, in_number=False)
        depth = self.depth + (byte in _OPENERS) - (byte in CLOSERS)
        # The e of "true" is no number's.
        in_number = byte in _NUMBER and (self.in_number or byte not in b"eE")
        return JsonPlace(depth=depth, in_number=in_number)


class Mask:
    """What a matcher over control ids and bytes allows next."""

    def __init__(self, matcher: "LLMatcher", control_count: int) -> None:
        self.bits = matcher.compute_bitmask()
        self.control_count = control_count

    @property
    def count(self) -> int:
        return int.from_bytes(self.bits, "little").bit_count()

    def allows(self, token: int) -> bool:
        return bool(self.bits[token // 8] >> token % 8 & 1)

    def among(self, wanted: bytes) -> list[int]:
        """The ids of those bytes that are allowed, in their order."""
        ids = [self.control_count + byte for byte in wanted]
        return [token for token in ids if self.allows(token)]


def shortest_ending(
    matcher: "LLMatcher", place: JsonPlace, control_count: int, eos_id: int
) -> list[int] | None:
    """Control ids and ids of single bytes up to where EOS may follow; None where none was found.

    ``matcher`` is over Guidance.bytewise and is left as it was.
    """
    prefixes = [_Prefix(matcher, place, (), Mask(matcher, control_count))]
    for _ in range(_MOST_BYTES):
        longer: dict[tuple[bytes, JsonPlace, int], _Prefix] = {}
        for prefix in prefixes:
            if prefix.mask.allows(eos_id):
                return list(prefix.ids)
            for token in _next_ids(prefix.mask, prefix.place):
                following = prefix.longer_by(token)
                alike = following.mask.bits, following.place, following.turns
                longer.setdefault(alike, following)
        # What is less deep has less to close, and what has ended more values has fewer to come.
        prefixes = sorted(longer.values(), key=_rank)[:_WIDTH]
        if not prefixes:
            return None
    return None


class _Prefix(NamedTuple):
    """The beginning of an ending, and the matcher that has consumed it."""

    matcher: "LLMatcher"
    place: JsonPlace
    ids: tuple[int, ...]
    mask: Mask
    ended: int = 0  # bytes outside of strings and numbers
    turns: int = 0  # times that the mask became another, which tells places of a pattern apart

    def longer_by(self, token: int) -> "_Prefix":
        matcher, control_count = self.matcher.deep_copy(), self.mask.control_count
        matcher.consume_token(token)
        is_byte = token >= control_count
        place = self.place.after(token - control_count) if is_byte else self.place
        mask = Mask(matcher, control_count)
        ended = self.ended + (not place.in_value)
        turns = self.turns + (mask.bits != self.mask.bits)
        return _Prefix(matcher, place, (*self.ids, token), mask, ended, turns)


def _rank(prefix: _Prefix) -> tuple[int, int, int]:
    return prefix.place.depth, -prefix.ended, -prefix.turns


def _next_ids(mask: Mask, place: JsonPlace) -> list[int]:
    """What to go on with: that which ends something if it may come, else anything but spaces."""
    if not place.in_string:
        ending = mask.among(CLOSERS) or mask.among(b",:")
    else:
        ending = [] if place.is_escaped else mask.among(b'"')
    if ending:
        return ending
    bytes_tried = _ORDER if mask.count <= _TRIED else _FEW + _SIGNS
    controls = [token for token in range(mask.control_count) if mask.allows(token)]
    return [*controls, *mask.among(bytes_tried)][:_TRIED] or mask.among(_SPACES)
