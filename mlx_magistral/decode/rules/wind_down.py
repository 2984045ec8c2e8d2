"""Wind-down: an answer under a grammar is whole when max_tokens comes.

Slack is what is left of max_tokens beyond the shortest ending of the answer (ending.py). Each id
of that ending keeps it and every other one takes from it. While there is enough of it nothing is
changed. In the last part, the zone, the string that is being written is closed, optional members
and further items are left out, and of two values the one without braces is taken; what the schema
still requires the model fills in, with a quarter of the slack for each string or number. When next
to nothing is left the ending is written for it. All of it is within what the grammar allows.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlx_magistral.decode.rules.ending import CLOSERS, JsonPlace, Mask, shortest_ending
from mlx_magistral.decode.rules.guidance import Guidance
from mlx_magistral.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher

# The zone: a quarter of the ids that the answer has room for, and at most so many. In its last
# quarter the ending is written.
_ZONE_PART, _ZONE_MOST = 4, 64
_WRITE_PART = 4
# A value may take so much of the slack, once the zone has begun.
_VALUE_PART = 4
# With more left than this nothing is looked up before half of it is gone.
_PLENTY = 2048

_SCALARS = b'"0123456789-tfn'


class WindDown:
    """Follows one answer. ``only`` are the ids that may be drawn next, where it narrows them.

    ``matcher`` is over Guidance.bytewise and its grammar that of the answer.
    """

    def __init__(
        self, matcher: "LLMatcher", guidance: Guidance, tokenizer: Tokenizer, max_tokens: int
    ) -> None:
        self.only: tuple[int, ...] = ()
        self.has_acted = False
        self._matcher = matcher
        self._vocabulary = guidance.vocabulary
        self._to_bytes: Callable[[int], bytes] = tokenizer.id_to_bytes
        self._control_count, self._eos_id = tokenizer.control_count, tokenizer.eos_id
        self._left = max_tokens
        self._zone: int | None = None  # None before the answer begins
        self._wait = 0  # ids until slack is looked at
        self._in_zone = False
        self._slack = 0
        self._is_same_value = False
        self._value_ids: int | None = None  # what the value in progress may still take
        self._writing = 0  # ids of the ending that have been given out and not come yet
        self._place = JsonPlace()

    def feed(self, token: int, *, is_answer: bool) -> None:
        """Take an id of the reply, of the answer or not."""
        self._left -= 1
        if not is_answer or token == self._eos_id:
            return
        was_value = self._place.in_value
        if token < self._control_count:
            self._matcher.consume_token(token)
        else:
            for byte in self._to_bytes(token):
                self._matcher.consume_token(self._control_count + byte)
                self._place = self._place.after(byte)
        if self._value_ids is not None:
            self._value_ids -= 1
        self._is_same_value = was_value and self._place.in_value
        if not self._is_same_value:
            self._value_ids = None

    def next(self) -> tuple[int, ...]:
        """Ids to be written now, of an answer whose next id is due; else ``only`` holds."""
        self.only = ()
        self._writing = max(self._writing - 1, 0)
        if self._writing:
            return ()
        if self._zone is None:
            self._zone = min(self._left // _ZONE_PART, _ZONE_MOST)
            self._wait = self._left // 2 if self._left > _PLENTY else 0
        self._wait -= 1
        if self._wait > 0:
            return ()
        if self._in_zone and self._is_same_value and self._slack - 1 > self._zone // _WRITE_PART:
            # An id of a value takes one at most: its ending is as far away as before, or nearer.
            self._slack -= 1
            self._narrow()
            return ()
        ending = self._ending()
        if ending is None or self._left <= len(ending):
            self._wait = self._left // 8
            return ()
        self._slack = self._left - len(ending) - 1  # the last one is EOS
        if self._slack > self._zone:
            self._wait = (self._slack - self._zone) // 4
            return ()
        if self._slack <= self._zone // _WRITE_PART and ending:
            self.has_acted = True
            self._writing = len(ending)
            return ending
        self._narrow()
        return ()

    def _ending(self) -> tuple[int, ...] | None:
        """The shortest ending in ids of the vocabulary."""
        ids = shortest_ending(self._matcher, self._place, self._control_count, self._eos_id)
        if ids is None:
            return None
        joined: list[int] = []
        run = bytearray()
        for token in [*ids, 0]:
            if token >= self._control_count:
                run.append(token - self._control_count)
                continue
            joined += self._spelled(bytes(run))
            joined.append(token)
            run.clear()
        return tuple(joined[:-1])

    def _spelled(self, text: bytes) -> list[int]:
        """Ids of bytes that may begin inside a character."""
        begun = next((at for at, byte in enumerate(text) if byte & 0xC0 != 0x80), len(text))
        rest = self._vocabulary.tokenize_bytes(text[begun:])
        return [*(self._control_count + byte for byte in text[:begun]), *rest]

    def _narrow(self) -> None:
        """Leave the model what ends this answer soon."""
        mask = Mask(self._matcher, self._control_count)
        was_in_zone, self._in_zone = self._in_zone, True
        if self._place.in_value:
            if self._value_ids is None:
                # What is being written when the zone begins has had its time.
                self._value_ids = self._slack // _VALUE_PART if was_in_zone else 0
            only = self._end_of_value(mask)
        elif mask.allows(self._eos_id):
            only = [self._eos_id]
        else:
            scalars = mask.among(_SCALARS) if mask.among(b"{[") else []
            only = mask.among(CLOSERS) or scalars
        if only and len(only) < mask.count:
            self.only = tuple(only)
            self.has_acted = True

    def _end_of_value(self, mask: Mask) -> list[int]:
        assert self._value_ids is not None
        if self._value_ids > 0 or self._place.is_escaped:
            return []
        if self._place.in_string:
            return mask.among(b'"')
        if mask.allows(self._eos_id):
            return [self._eos_id]
        return mask.among(CLOSERS) or mask.among(b",")
