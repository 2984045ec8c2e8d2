"""How long it may think: a soft zone, a short wait for the end of a sentence, then a close.

Counts ids of thinking only. What is closed how is Steering's business.
"""

from collections.abc import Callable

from mlx_magistral.decode.rules.logits_processors import Ban, Lean, LogitsProcessor
from mlx_magistral.decode.rules.steering import Act, Place, ThinkTokens, Verdict
from mlx_magistral.events import Limit

# The soft zone is the last eighth of the budget, the wait for a sentence's end the last sixteenth.
_SOFT_PART, _SOFT_MOST = 8, 512
_WAIT_PART, _WAIT_MOST = 16, 32
_LIKELY_WITHIN = 3.0
_LEAN_BY = 2.0

# An answer gets a quarter of max_tokens, this many at most, unless that is too little to say much.
_ANSWER_PART, _ANSWER_MOST, _ANSWER_LEAST = 4, 1024, 16

_SENTENCE_ENDS = (b"\n", b".", b"!", b"?", "。".encode())


class ThinkBudget:
    """Closes the thinking after ``budget`` ids of it, or a little before at a sentence's end.

    The closing phrase comes on top. A second think block goes on counting where the first ended;
    with nothing left none is opened.
    """

    must_see_id = False

    def __init__(
        self,
        budget: int,
        limit: Limit,
        think: ThinkTokens,
        id_to_bytes: Callable[[int], bytes],
    ) -> None:
        self._budget = budget
        self._limit = limit
        self._soft_from = budget - min(budget // _SOFT_PART, _SOFT_MOST)
        self._wait_from = budget - min(budget // _WAIT_PART, _WAIT_MOST)
        self._lean: tuple[LogitsProcessor, ...] = (Lean(think.close, _LIKELY_WITHIN, _LEAN_BY),)
        self._ban: tuple[LogitsProcessor, ...] = (Ban(think.open),)
        self._id_to_bytes = id_to_bytes
        self.processors: tuple[LogitsProcessor, ...] = () if budget else self._ban

    def feed(self, token: int, place: Place) -> Verdict | None:
        """Close at the budget, or at a sentence's end shortly before it."""
        count = place.reasoning_tokens
        if not place.is_thinking:
            self.processors = self._ban if count >= self._budget else ()
            return None
        self.processors = self._lean if self._soft_from <= count < self._budget else ()
        is_due = count >= self._budget or (
            count >= self._wait_from and self._id_to_bytes(token).endswith(_SENTENCE_ENDS)
        )
        return Verdict(Act.CLOSE_THINKING, self._limit) if is_due else None


def thinking_room(max_tokens: int, think: ThinkTokens) -> int | None:
    """Ids of thinking that leave room for an answer within ``max_tokens``.

    None where max_tokens is too small for both: whoever asks for 20 ids gets the first 20.
    """
    answer = min(max_tokens // _ANSWER_PART, _ANSWER_MOST)
    room = max_tokens - answer - len(think.phrase) - 2  # [THINK] and [/THINK]
    return room if answer >= _ANSWER_LEAST and room > 0 else None
