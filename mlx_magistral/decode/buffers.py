"""KeptBuffers: what MLX keeps of freed memory for reuse, held under one step of the KV cache.

Buffers are reused for arrays of about their size. Of what grows with the context none is asked for
again, and MLX would keep them all, beside what the memory plan has counted: of the KV cache itself
(cache.py gives that back), of scores, of unpacked keys.
"""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx

from mlx_magistral.memory.sizes import kept_bytes
from mlx_magistral.model.cache import STEP_TOKENS
from mlx_magistral.model.caches import token_bytes


class KeptBuffers:
    """Asked after each pass, gives everything back before it comes to ``most_bytes``."""

    def __init__(self, most_bytes: int) -> None:
        self._enough_bytes = most_bytes // 2  # what a pass leaves comes on top

    @classmethod
    def beside(cls, cache: Sequence[Any], vocab_size: int) -> "KeptBuffers":
        """For the decode of a reply whose prompt is in the cache."""
        return cls(kept_bytes(token_bytes(cache) * STEP_TOKENS, vocab_size))

    def after_pass(self) -> None:
        """A pass was dispatched; costs nothing where little is kept."""
        if mx.get_cache_memory() > self._enough_bytes:
            mx.clear_cache()
