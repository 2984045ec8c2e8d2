"""PrefillProgress: how far a long prompt is, as one line that is wiped when the reply begins."""

import time
from collections.abc import Callable
from typing import TextIO

from mlx_magistral.terminal.display import can_redraw
from mlx_magistral.terminal.size import terminal_size

# A prompt that takes less is answered before the line could be read.
_QUIET_S = 1.0


class PrefillProgress:
    """Called after each chunk with the ids done and all of them; writes to terminals alone."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._started = clock()
        self._is_shown = False

    def __call__(self, done: int, total: int) -> None:
        """Show the count after a second, and wipe it at the end."""
        if not can_redraw(self._stream):
            return
        if done < total and self._clock() - self._started >= _QUIET_S:
            line = f"reading the prompt: {done:,} of {total:,} tokens"
            # A line that wraps could not be wiped.
            self._stream.write(f"\r\x1b[K{line[: terminal_size()[0] - 1]}")
            self._is_shown = True
        elif done >= total and self._is_shown:
            self._stream.write("\r\x1b[K")
        self._stream.flush()
