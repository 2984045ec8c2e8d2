"""KVBudget: how many bytes of KV cache all replies together may have, by the model's memory plan.

The plan has room for one whole context. What it leaves free and that room are shared here by as
many replies as fit; kept prefixes give way to them.
"""

from collections.abc import Iterable, Sequence

from mlx_magistral.memory.runtime import ModelMemory
from mlx_magistral.memory.sizes import kept_bytes, kv_bytes
from mlx_magistral.model.cache import STEP_TOKENS
from mlx_magistral.model.config import ModelConfig


class KVBudget:
    """Counts in whole allocation steps, as caches grow.

    ``others`` are memories of models that share the weights, and so the plan.
    """

    def __init__(
        self, config: ModelConfig, memory: ModelMemory, others: Sequence[ModelMemory] = ()
    ) -> None:
        self._config = memory.held or config
        self._memory = memory
        kept = [each.prefixes for each in (memory, *others)]
        self._prefixes = [prefixes for prefixes in kept if prefixes is not None]
        self._prefix_bytes = [prefixes.ram_bytes for prefixes in self._prefixes]
        plan = memory.plan
        # The plan counts a draft model's KV of one whole context among the weights.
        draft_bytes = int(memory.draft_token_bytes * plan.context_tokens)
        self.total_bytes = plan.kv_bytes + draft_bytes + max(plan.free_bytes, 0)
        self.kept_bytes = kept_bytes(self.bytes_for(STEP_TOKENS), config.vocab_size)

    def bytes_for(self, tokens: int) -> int:
        """The KV cache of so many tokens, a draft model's too."""
        drafting = int(self._memory.draft_token_bytes * tokens)
        return kv_bytes(self._config, tokens, self._memory.plan.kv_bits) + drafting

    def bytes_for_all(self, lengths: Iterable[int]) -> int:
        """The KV caches of several replies."""
        return sum(map(self.bytes_for, lengths))

    def holds(self, lengths: Iterable[int]) -> bool:
        """Whether caches of these many tokens fit, kept prefixes dropped where they must."""
        free = self.total_bytes - self.bytes_for_all(lengths)
        for prefixes, most in zip(self._prefixes, self._prefix_bytes, strict=True):
            if free >= 0:
                prefixes.ram_bytes = min(most, free // len(self._prefixes))
                prefixes.shrink(prefixes.ram_bytes)
        return free >= 0
