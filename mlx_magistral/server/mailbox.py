"""Mailbox: what other threads have for the event loop, by one wake-up for all that came meanwhile.

A batch makes an id of every reply at almost the same time; a wake-up for each would have the
decoding thread and the loop pass the interpreter's lock to and fro.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any


class Mailbox:
    """Belongs to one loop; ``post`` is safe from any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._letters: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._is_woken = False

    def post(self, take: Callable[[Any], None], letter: object) -> None:
        """Have the loop call ``take(letter)``, in order of posting; nothing once it has ended."""
        self._letters.append((take, letter))
        # Whoever finds it woken has posted before the loop looks; twice woken does no harm.
        if not self._is_woken:
            self._is_woken = True
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens
                self.loop.call_soon_threadsafe(self._empty)

    def _empty(self) -> None:
        self._is_woken = False
        while self._letters:
            take, letter = self._letters.popleft()
            take(letter)
