"""make_drafts: what guesses for a reply, whoever drives its decode."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mlx_magistral.decode.speculation.drafter import Drafter
from mlx_magistral.decode.speculation.drafts import Drafts
from mlx_magistral.decode.speculation.gate import MOST_COPIED
from mlx_magistral.decode.speculation.pass_costs import PassCosts
from mlx_magistral.decode.speculation.shared_pass import SharedPass
from mlx_magistral.engine.progress import ReplyPlan
from mlx_magistral.memory.runtime import ModelMemory
from mlx_magistral.model.quantized_cache import DIRECT_ROWS


class Guessing(Protocol):
    """Of a loaded model, what guesses are made with."""

    draft_model: Drafter | None
    memory: ModelMemory

    @property
    def model(self) -> Any:
        """The weights."""

    @property
    def pass_costs(self) -> PassCosts:
        """What passes cost here."""


def make_drafts(
    loaded: Guessing,
    plan: ReplyPlan,
    cache: Callable[[], Sequence[Any]],
    shared: SharedPass | None = None,
) -> Drafts | None:
    """The guesses of one reply, with a draft model's KV of its own; None where they are off.

    ``cache`` gives the reply's own at any time, for measuring passes on it; ``shared`` is given
    where others decode in the same passes.
    """
    if plan.speculate.is_off or plan.logprobs is not None:
        return None
    costs = loaded.pass_costs
    return Drafts(
        plan.prompt,
        costs,
        measure=lambda: costs.measure(loaded.model, cache()),
        length=plan.speculate.length,
        draft_model=None if loaded.draft_model is None else loaded.draft_model.for_reply(),
        shared=shared,
        measure_rows=lambda rows: costs.measure_rows(loaded.model, cache(), rows),
        # A quantized KV cache rounds otherwise from there on (quantized_cache.py).
        longest=MOST_COPIED if loaded.memory.plan.kv_bits == 16 else DIRECT_ROWS - 1,
    )
