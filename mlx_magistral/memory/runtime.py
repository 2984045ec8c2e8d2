"""ModelMemory: the plan of a loaded model and the prefixes it keeps, as an engine uses them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import mlx.core as mx

from mlx_magistral.errors import UsageError
from mlx_magistral.memory.machine import Machine, this_machine
from mlx_magistral.memory.plan import MemoryPlan, lowered_note, make_plan, require_fit
from mlx_magistral.memory.prefixes.cache import PrefixCache
from mlx_magistral.memory.prefixes.disk import PrefixDisk, default_folder
from mlx_magistral.memory.prefixes.fingerprint import model_fingerprint
from mlx_magistral.memory.prefixes.passes import PromptMarks, pass_ends
from mlx_magistral.memory.pressure import Pressure, PressureWatch
from mlx_magistral.memory.wired import WiredLimit
from mlx_magistral.model.adapters.adapter import Adapter
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.checkpoint import Checkpoint
from mlx_magistral.model.config import DEFAULT_CONTEXT, ModelConfig
from mlx_magistral.model.quantized_cache import require_kv_bits
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.options import require_switch, require_whole

# Prompts that took fewer fresh ids than this are computed again sooner than they are written.
_LEAST_DISK_TOKENS = 64
# Of prompts that wait for the disk while other replies go on; the oldest are forgotten.
_MOST_UNWRITTEN = 64
# Kept prefixes take no more than so many whole contexts, however much memory is free: what is older
# is hardly asked for again, and a small model would fill a large machine in a day.
MOST_PREFIX_CONTEXTS = 16


OUT_OF_MEMORY = (
    "The system is out of memory, so the reply ended with what it had. Close other programs, or "
    "take a smaller --context or fewer bits."
)


@dataclass(frozen=True)
class MemoryOptions:
    """What the caller fixes; None leaves it to the plan. Raises UsageError for what cannot be.

    ``reuse_prefixes`` keeps the KV of earlier prompts in memory that the plan leaves free, and on
    disk; replies stay the same to the bit (passes.py). ``wired_bytes`` may not be paged out while
    the model is loaded, "auto" is the planned peak; nothing is wired unless asked for.
    ``draft_bytes`` are the weights of a draft model beside, and ``draft_token_bytes`` a token of
    its KV cache. ``adapter`` is what the model answers with: prefixes computed with it are kept
    apart. ``beside_bytes`` are those of adapters that other replies answer with. ``force`` loads
    what does not fit.
    """

    kv_bits: int | None = None
    context_tokens: int | None = None
    reuse_prefixes: bool = False
    wired_bytes: int | Literal["auto"] | None = None
    draft_bytes: int = 0
    draft_token_bytes: float = 0
    adapter: Adapter | None = None
    beside_bytes: int = 0
    force: bool = False

    def __post_init__(self) -> None:
        if self.kv_bits is not None:
            require_kv_bits(self.kv_bits)
        if self.context_tokens is not None:
            require_whole("context_tokens", self.context_tokens)
        if self.wired_bytes not in (None, "auto"):
            require_whole("wired_bytes", self.wired_bytes)
        require_switch("reuse_prefixes", self.reuse_prefixes)
        require_switch("force", self.force)


@dataclass
class ModelMemory:
    """The plan, which fits unless forced, and what is reused; one for each loaded model."""

    plan: MemoryPlan
    prefixes: PrefixCache | None
    wired: WiredLimit | None = None
    draft_token_bytes: float = 0  # of a draft model's KV cache
    marks: PromptMarks = PromptMarks()
    is_exact: bool = True
    pressure: PressureWatch = field(default_factory=PressureWatch)
    held: ModelConfig | None = None  # the part that is in this process, where it is not all

    _unwritten: list[tuple[list[int], bool]] = field(default_factory=list)
    _notes: list[str] = field(default_factory=list)

    @property
    def note(self) -> str | None:
        """One line where the plan lowered something by itself."""
        return lowered_note(self.plan)

    def new_cache(self, model: Transformer) -> list[KVCache]:
        """An empty cache in the planned format."""
        return make_cache(model, self.plan.kv_bits)

    def divided(self, adapters: Sequence[Adapter]) -> list["ModelMemory"]:
        """A memory for the same model with each adapter; all share the plan and what is kept."""
        kept = self.prefixes
        if kept is None:
            return [self._beside(None) for _ in adapters]
        kept.ram_bytes //= len(adapters) + 1
        return [
            self._beside(
                PrefixCache(f"{kept.fingerprint}-{each.fingerprint}", kept.ram_bytes, kept.disk)
            )
            for each in adapters
        ]

    def _beside(self, prefixes: PrefixCache | None) -> "ModelMemory":
        return ModelMemory(
            self.plan,
            prefixes,
            draft_token_bytes=self.draft_token_bytes,
            pressure=self.pressure,
        )

    def allow_rounding(self) -> None:
        """Continue from any common ids from now on, replies included: the same up to rounding.

        For passes that other replies share (a batch), and for conversations that keep the thinking,
        whose replies would otherwise be read again. What is kept is kept apart from the exact.
        """
        if self.is_exact and self.prefixes is not None:
            self.prefixes.shrink(0)
            self.prefixes.fingerprint += "-rounded"
        self.is_exact = False

    def ends(self, prompt: Sequence[int]) -> list[int]:
        """Where the passes of a prefill end, the prompt's own end left out."""
        return pass_ends(len(prompt), self.plan.chunk_tokens, self.marks.cuts(prompt))[:-1]

    def known(self, prompt: Sequence[int]) -> int:
        """How many ids of the prompt ``restore`` would find in RAM."""
        if self.prefixes is None:
            return 0
        return self.prefixes.known(prompt, self.ends(prompt) if self.is_exact else None)

    def restore(self, prompt: Sequence[int], cache: Sequence[KVCache]) -> int:
        """Fill the cache with what is known of the prompt; returns how many ids."""
        if self.prefixes is None:
            return 0
        return self.prefixes.restore(prompt, cache, self.ends(prompt) if self.is_exact else None)

    def keep_prompt(self, prompt: Sequence[int], cache: Sequence[KVCache], cached: int) -> None:
        """Keep a just computed prompt, of which ``cached`` ids were known before; disk comes later.

        Its head, the system prompt and the tools, is an entry of its own, and pinned: other
        conversations begin with it.
        """
        if self.prefixes is None:
            return
        ends = self.ends(prompt) if self.is_exact else None
        whole = len(prompt) if ends is None else max(ends, default=0)
        for length, is_pinned in ((self.marks.head_length(prompt), True), (whole, False)):
            if not length:
                continue
            self.prefixes.store(prompt[:length], cache, ends, is_pinned=is_pinned)
            if length - cached >= _LEAST_DISK_TOKENS:
                self._unwritten.append((list(prompt[:length]), is_pinned))
        del self._unwritten[:-_MOST_UNWRITTEN]

    @property
    def keeps_replies(self) -> bool:
        """Whether prompts may go on from whole replies, not from prompts alone."""
        return self.prefixes is not None and not self.is_exact

    def keep(self, tokens: Sequence[int], cache: Sequence[KVCache]) -> None:
        """A reply is over: keep it too, where rounding is allowed. Nothing is written."""
        if self.prefixes is not None and self.keeps_replies:
            self.prefixes.store(tokens, cache)

    def write_prompts(
        self,
        is_idle: Callable[[], bool] = lambda: True,
        tokens: Sequence[int] = (),
        cache: Sequence[KVCache] = (),
    ) -> None:
        """Write what is due, one prompt after the other while nobody waits.

        From RAM, or from the ``cache`` of a reply that is over, which holds ``tokens``. A write
        that is given up because somebody waits stays due.
        """
        while self._unwritten and self.prefixes is not None and is_idle():
            prompt, is_pinned = self._unwritten[0]
            is_held = list(tokens[: len(prompt)]) == prompt
            ends = self.ends(prompt) if self.is_exact else None
            if not self.prefixes.save(
                prompt, cache if is_held else (), ends, is_pinned=is_pinned, is_wanted=is_idle
            ):
                return
            self._unwritten.pop(0)

    def relieve(self) -> bool:
        """Give back what can be spared where the machine is short of memory; whether it is.

        To be called between passes: kept prefixes go, and what MLX keeps for reuse.
        """
        if self.pressure.level is Pressure.NORMAL:
            return False
        if self.prefixes is not None and self.prefixes.nbytes:
            self.prefixes.shrink(0)
            mx.clear_cache()
        return True

    def note_end(self) -> None:
        """A reply ends for want of memory: say so in the notes."""
        self._notes.append(OUT_OF_MEMORY)

    def take_notes(self) -> list[str]:
        """What went wrong since the last call, a line each."""
        notes, self._notes = self._notes, []
        if self.prefixes is not None:
            notes += self.prefixes.notes
            self.prefixes.notes = []
        return notes


def plan_memory(
    checkpoint: Checkpoint, options: MemoryOptions, machine: Machine | None = None
) -> ModelMemory:
    """Plan a model before its weights are read.

    Raises UsageError for a context over the model's or a wired limit that cannot be, or
    MemoryPlanError with the numbers where it does not fit and is not forced to.
    """
    ceiling = checkpoint.config.max_position_embeddings
    context = options.context_tokens
    if context is None:
        context = min(DEFAULT_CONTEXT, ceiling or DEFAULT_CONTEXT)
    if context < 1 or (ceiling is not None and context > ceiling):
        raise UsageError(f"--context is {context:,}; this model takes 1 to {ceiling or context:,}.")
    machine = machine or this_machine()
    # A draft model reads as many tokens, and counts as weights: none of it depends on the plan.
    draft_kv = int(options.draft_token_bytes * context)
    adapter = options.adapter
    weights = checkpoint.nbytes + options.draft_bytes + draft_kv + options.beside_bytes
    weights += 0 if adapter is None else adapter.nbytes
    plan = make_plan(checkpoint.config, weights, machine, context, kv_bits=options.kv_bits)
    if not options.force:
        require_fit(checkpoint.config, plan)
    wired = None
    if options.wired_bytes is not None:
        wired = WiredLimit(
            plan.peak_bytes if options.wired_bytes == "auto" else options.wired_bytes
        )
    prefixes = None
    if options.reuse_prefixes:
        fingerprint = model_fingerprint(checkpoint, plan.kv_bits, plan.chunk_tokens)
        if adapter is not None:
            fingerprint += f"-{adapter.fingerprint}"
        ram_bytes = max(min(plan.free_bytes, MOST_PREFIX_CONTEXTS * plan.kv_bytes), 0)
        prefixes = PrefixCache(fingerprint, ram_bytes, PrefixDisk(default_folder()))
    return ModelMemory(plan, prefixes, wired, options.draft_token_bytes)
