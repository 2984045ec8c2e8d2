"""PrefillChunk: how much of the prompts one pass reads, so that nobody who decodes waits long."""

from mlx_magistral.memory.machine import Backend
from mlx_magistral.memory.plan import MemoryPlan

# Rows of prompt beside replies that decode, at least. A Mac's GPU does 128 rows of a 24B model in
# about the time of 5 to 10 decode steps, by arithmetic, not measured; a CPU's time goes with rows.
BUSY_CHUNK_TOKENS = {Backend.METAL: 128, Backend.CPU: 64}
# More where a pass of more takes no longer than this: small models, fast machines.
BUSY_PASS_S = 0.1


class PrefillChunk:
    """A full chunk where nobody decodes; what those passes take says what fits beside others."""

    def __init__(self, plan: MemoryPlan) -> None:
        self._chunk = plan.chunk_tokens
        self._least_busy = min(BUSY_CHUNK_TOKENS[plan.machine.backend], plan.chunk_tokens)
        self._busy = self._least_busy

    def limit(self, is_busy: bool) -> int:
        """Rows of the next pass; ``is_busy`` says that replies decode in it."""
        return self._busy if is_busy else self._chunk

    def measure(self, rows: int, seconds: float) -> None:
        """A pass that read ``rows`` of prompts, and nothing else, took so long."""
        fitting = int(rows / seconds * BUSY_PASS_S) if seconds > 0 else self._chunk
        self._busy = min(max(fitting, self._least_busy), self._chunk)
