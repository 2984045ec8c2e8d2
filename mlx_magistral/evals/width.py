"""How many replies are made at once, by the model's memory plan."""

from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.memory.sizes import kv_bytes

# What a reply of a reasoning model comes to, by experience; longer ones pause others if they must.
EXPECTED_TOKENS = 8192
# More make each reply slow and the whole hardly faster.
_MOST = 16


def fitting_width(model: Magistral, expected_tokens: int = EXPECTED_TOKENS) -> int:
    """Replies of so many tokens, prompt included, whose KV caches fit beside each other."""
    plan = model.memory.plan
    room = plan.kv_bytes + max(plan.free_bytes, 0)
    tokens = min(expected_tokens, plan.context_tokens)
    return min(max(room // kv_bytes(model.config, tokens, plan.kv_bits), 1), _MOST)
