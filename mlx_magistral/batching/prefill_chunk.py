"""PrefillChunk: how much of the prompts one pass reads, so that nobody who decodes waits long."""

from mlx_magistral.memory.machine import Backend
from mlx_magistral.memory.plan import MemoryPlan

# Beside replies that decode a pass takes about this long, their own ids included, ...
BUSY_PASS_S = 0.1
# ... but reads so many rows of prompts at least, or those would never be read.
LEAST_ROWS = 32
# What a pass is taken to do before one was measured.
_FIRST_ROWS = {Backend.METAL: 128, Backend.CPU: 64}


class PrefillChunk:
    """A full chunk where nobody decodes; beside others what fits, by the latest pass's time."""

    def __init__(self, plan: MemoryPlan) -> None:
        self._chunk = plan.chunk_tokens
        self._least = min(LEAST_ROWS, self._chunk)
        self._busy = min(_FIRST_ROWS[plan.machine.backend], self._chunk)

    def limit(self, is_busy: bool) -> int:
        """Rows of the next pass; ``is_busy`` says that replies decode in it."""
        return self._busy if is_busy else self._chunk

    def measure(self, rows: int, seconds: float) -> None:
        """A pass that read ``rows`` of prompts took so long, all that it did counted."""
        if rows == 0 or seconds <= 0:
            return
        fitting = int(rows * BUSY_PASS_S / seconds)
        self._busy = min(max(fitting, self._least), self._chunk)
