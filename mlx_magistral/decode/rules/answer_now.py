"""Answer now: somebody has waited long enough for the thinking."""

import threading

from mlx_magistral.decode.rules.logits_processors import LogitsProcessor
from mlx_magistral.decode.rules.steering import Act, Place, Verdict


class AnswerNow:
    """Closes the thinking at the next id once ``request`` was called, from whatever thread.

    A request before the thinking begins closes it as soon as it does.
    """

    must_see_id = False
    processors: tuple[LogitsProcessor, ...] = ()

    def __init__(self) -> None:
        self._is_requested = threading.Event()

    def request(self) -> None:
        self._is_requested.set()

    def feed(self, token: int, place: Place) -> Verdict | None:
        """Close if somebody asked for it."""
        if self._is_requested.is_set() and place.is_thinking:
            return Verdict(Act.CLOSE_THINKING)
        return None
