"""Generated ids to text, one id at a time."""

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlx_magistral.text.tokenizer import Tokenizer


class TextDecoder:
    """Streams text from ids: the pieces joined are ``tokenizer.decode`` of all the ids.

    A character split across ids comes out whole with its last byte; bytes that can be no
    character come out as U+FFFD. A control id has no text and ends a pending run of bytes.
    """

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._id_to_bytes = tokenizer.id_to_bytes
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def feed(self, token: int) -> str:
        """The text that became complete with this id, often one word, sometimes none."""
        piece = self._id_to_bytes(token)
        return self._decode(piece) if piece else self.flush()

    def flush(self) -> str:
        """What an unfinished character leaves: nothing or U+FFFD. Ready for more afterwards."""
        return self._decode(b"", True)
