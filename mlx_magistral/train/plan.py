"""TrainPlan: what a step needs at its peak, before anything is allocated.

Weights, the adapter with its gradients and optimizer, and the activations of the heaviest pack,
kept of all layers or of one at a time. Factors were fitted to peaks measured on a CPU
(scripts/bench/train_memory.py); for Metal they are arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlx_magistral.errors import MemoryPlanError
from mlx_magistral.memory.machine import Machine
from mlx_magistral.memory.plan import reserve_bytes
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes
from mlx_magistral.train.attention import BLOCK_ROWS, LONG_TOKENS
from mlx_magistral.train.head import chunk_rows
from mlx_magistral.train.options import Method, TrainOptions
from mlx_magistral.train.packing import Pack

# Bytes of an activation: in 16 bits, and where the weights themselves are trained, in fp32. Part of
# what the factors below count is in fp32 either way.
_ITEM, _WIDE_ITEM = 2.0, 3.4
# Sizes of a row: between layers, in the MLP, of the queries, of the keys. What is kept of each
# layer until its gradient is computed, what is there beside while gradients pass, and what one
# layer alone holds while the gradient of its MLP is computed.
_KEPT = (7.8, 4.5, 2.0, 2.0)
_PASSING = (7.4, 7.4, 0.0, 0.0)
_WORKING = (9.3, 14.8, 5.6, 5.6)
# DoRA keeps the outputs of all linears beside, and one layer alone computes with them.
_DORA = (2.0, 2.0, 1.0, 2.0)
_DORA_WORKING = 1.7
# In numbers of the activations' width for each score of all heads: kept of a layer, and there at
# once in one; and of a block of rows of a long example while gradients pass through all layers.
_KEPT_SCORES, _WORKING_SCORES, _PASSING_BLOCK = 1.0, 1.9, 4.0
# Bytes more of each score of short examples, at once in one layer, where all is in fp32.
_WIDE_SCORES = 5.5
# What one layer alone holds while the gradient of a long example's attention is computed, in
# numbers of 16 bits: for each of its queries, of its keys, and of the scores of a block of rows,
# for blocks are started ahead of others.
_ATTENDING_QUERIES, _ATTENDING_KEYS, _ATTENDING_BLOCK = 28.0, 9.5, 12.2
# Logits in fp32 that are there at once: by autodiff, of a chunk, and of chunks that are started
# ahead of others in a graph.
_HEAD_ARRAYS, _CHUNK_ARRAYS, _AHEAD_ARRAYS = 4.0, 3.1, 10.0
# Bytes of what an update holds beside parameters, gradients and moments, for each number.
_UPDATE_BYTES = 6.0
_LENGTH_STEP = 256


@dataclass(frozen=True)
class PackLoad:
    """What of a pack the memory depends on: rows, (queries, keys) of its attention, targets."""

    rows: int
    blocks: tuple[tuple[int, int], ...]
    targets: int

    @classmethod
    def of(cls, pack: Pack) -> "PackLoad":
        """A pack's own."""
        shared = pack.shared
        blocks = [(shared, shared)] if shared else []
        blocks += [(length, shared + length) for length in pack.lengths]
        return cls(len(pack.inputs), tuple(blocks), len(pack.targets))

    @classmethod
    def one(cls, tokens: int) -> "PackLoad":
        """A single example of so many ids, all of them learned."""
        return cls(tokens, ((tokens, tokens),), tokens)


@dataclass(frozen=True)
class TrainPlan:
    """The bytes of one way to train."""

    machine: Machine
    is_checkpointed: bool
    longest_tokens: int
    weight_bytes: int
    trained_bytes: int
    activation_bytes: int
    reserve_bytes: int
    advice: str = ""

    @property
    def peak_bytes(self) -> int:
        """What mx.get_peak_memory() should say."""
        return self.weight_bytes + self.trained_bytes + self.activation_bytes

    @property
    def fits(self) -> bool:
        """Whether it is within the limit, reserve included."""
        return self.peak_bytes + self.reserve_bytes <= self.machine.limit_bytes

    def describe(self) -> str:
        """The sum as one line."""
        way = "one layer at a time" if self.is_checkpointed else "of all layers"
        total = self.peak_bytes + self.reserve_bytes
        return (
            f"Memory: weights {_gb(self.weight_bytes)} + trained, gradients and optimizer "
            f"{_gb(self.trained_bytes)} + activations {way} {_gb(self.activation_bytes)} + reserve "
            f"{_gb(self.reserve_bytes)} = {_gb(total)} of {_gb(self.machine.limit_bytes)} GB."
        )

    def require_fit(self) -> None:
        """Raise MemoryPlanError with the numbers and what would fit."""
        if not self.fits:
            raise MemoryPlanError(
                f"It does not fit {self.machine.name}. {self.describe()} {self.advice}"
            )


def plan_training(
    config: ModelConfig,
    weight_bytes: int,
    options: TrainOptions,
    loads: Sequence[PackLoad],
    machine: Machine,
    *,
    is_checkpointed: bool | None = None,
) -> TrainPlan:
    """The plan for packs like these: of all layers where that fits, else a layer at a time."""
    ways = (False, True) if is_checkpointed is None else (is_checkpointed,)
    plans = [_plan(config, weight_bytes, options, loads, machine, way) for way in ways]
    chosen = next((each for each in plans if each.fits), plans[-1])
    if chosen.fits:
        return chosen
    longest = longest_that_fits(config, weight_bytes, options, machine, chosen.longest_tokens)
    if chosen.weight_bytes + chosen.trained_bytes > machine.limit_bytes:
        advice = "The weights alone are too much: train a folder of fewer bits."
    elif longest:
        advice = f"--batch-size 1 --grad-checkpoint --max-seq-len {longest} would fit."
    else:
        advice = "No length fits: train a folder of fewer bits, or fewer layers (--num-layers)."
    return replace(chosen, advice=advice)


def trained_count(config: ModelConfig, options: TrainOptions) -> int:
    """How many numbers are trained."""
    layers = options.layers_of(config.n_layers)
    shapes = _layer_shapes(config)
    if options.method is Method.FULL:
        return layers * (sum(out * width for out, width in shapes) + 2 * config.dim)
    numbers = sum(options.rank * (out + width) for out, width in shapes)
    lengths = sum(out for out, _ in shapes) if options.method is Method.DORA else 0
    return layers * (numbers + lengths)


def trained_bytes(config: ModelConfig, options: TrainOptions) -> int:
    """Parameters in fp32, their gradients, and the optimizer's two moments.

    Weights that are trained themselves are counted with the weights.
    """
    moments = 8.0 if options.optimizer_bits == 32 else 2.25
    own = 0.0 if options.method is Method.FULL else 4.0
    return int(trained_count(config, options) * (own + 4.0 + moments))


def activation_bytes(
    config: ModelConfig, options: TrainOptions, load: PackLoad, is_checkpointed: bool
) -> int:
    """The most that is there beside weights and trained_bytes at any time of a step."""
    item = _WIDE_ITEM if options.method is Method.FULL else _ITEM
    row = _row_bytes(config, item)
    scores = _short_scores(config, load)
    short = item * scores
    wide = _WIDE_SCORES * scores if options.method is Method.FULL else 0.0
    update = trained_count(config, options) * _UPDATE_BYTES
    at_once = chunk_rows(config.vocab_size)
    logits = 4 * min(at_once, load.targets) * config.vocab_size
    dora = load.rows * _sum(_DORA, row) if options.method is Method.DORA else 0.0
    if is_checkpointed:
        inputs = load.rows * config.dim * item * (config.n_layers + 1)
        mlp = load.rows * _sum(_WORKING, row) + _WORKING_SCORES * short + wide
        working = max(mlp, _attending_bytes(config, load)) + _DORA_WORKING * dora
        return int(max(inputs + max(working, _CHUNK_ARRAYS * logits), update))
    kept = load.rows * _sum(_KEPT, row) + _KEPT_SCORES * short + dora
    chunks = load.targets / at_once
    arrays = _HEAD_ARRAYS if chunks <= 1 else min(_CHUNK_ARRAYS * chunks, _AHEAD_ARRAYS)
    blocks = [_block_scores(config, *each) for each in _long(load)]
    passing = load.rows * _sum(_PASSING, row) + wide
    passing += _PASSING_BLOCK * _ITEM * max(blocks, default=0)
    return int(max(options.layers_of(config.n_layers) * kept + arrays * logits + passing, update))


def longest_that_fits(
    config: ModelConfig, weight_bytes: int, options: TrainOptions, machine: Machine, ceiling: int
) -> int:
    """The most ids, in steps of 256, of an example that fits alone, a layer at a time."""
    low, high = 0, -(-ceiling // _LENGTH_STEP)
    while low < high:
        middle = (low + high + 1) // 2
        load = PackLoad.one(middle * _LENGTH_STEP)
        fits = _plan(config, weight_bytes, options, [load], machine, True).fits
        low, high = (middle, high) if fits else (low, middle - 1)
    return low * _LENGTH_STEP


def _plan(
    config: ModelConfig,
    weight_bytes: int,
    options: TrainOptions,
    loads: Sequence[PackLoad],
    machine: Machine,
    is_checkpointed: bool,
) -> TrainPlan:
    # Weights that are trained themselves are there in fp32.
    wide = 2 if options.method is Method.FULL else 1
    return TrainPlan(
        machine=machine,
        is_checkpointed=is_checkpointed,
        longest_tokens=max(keys for load in loads for _, keys in load.blocks),
        weight_bytes=weight_bytes * wide,
        trained_bytes=trained_bytes(config, options),
        activation_bytes=max(
            activation_bytes(config, options, load, is_checkpointed) for load in loads
        ),
        reserve_bytes=reserve_bytes(machine),
    )


def _short_scores(config: ModelConfig, load: PackLoad) -> int:
    """Scores of all heads of all short examples, which attend at once."""
    return config.n_heads * sum(
        queries * keys for queries, keys in load.blocks if keys < LONG_TOKENS
    )


def _long(load: PackLoad) -> list[tuple[int, int]]:
    """(queries, keys) of examples that attend in blocks of rows (attention.py), one by one."""
    return [each for each in load.blocks if each[1] >= LONG_TOKENS]


def _block_scores(config: ModelConfig, queries: int, keys: int) -> int:
    return config.n_heads * min(queries, BLOCK_ROWS) * keys


def _attending_bytes(config: ModelConfig, load: PackLoad) -> float:
    """While the gradient of the longest example's attention is computed; 0 without a long one."""
    numbers = [
        _ATTENDING_QUERIES * queries * config.n_heads * config.head_dim
        + _ATTENDING_KEYS * keys * config.n_kv_heads * config.head_dim
        + _ATTENDING_BLOCK * _block_scores(config, queries, keys)
        for queries, keys in _long(load)
    ]
    return _ITEM * max(numbers, default=0.0)


def _row_bytes(config: ModelConfig, item: float) -> tuple[float, float, float, float]:
    """Between layers, in the MLP, of the queries and of the keys."""
    queries, keys = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
    return config.dim * item, config.hidden_dim * item, queries * item, keys * item


def _sum(factors: tuple[float, ...], sizes: tuple[float, ...]) -> float:
    return sum(factor * size for factor, size in zip(factors, sizes, strict=True))


def _layer_shapes(config: ModelConfig) -> list[tuple[int, int]]:
    """(out, in) of the linears of a layer."""
    prefix = "model.layers.0."
    return [
        (shape[0], shape[1])
        for name, shape in expected_shapes(config).items()
        if name.startswith(prefix) and len(shape) == 2
    ]


def _gb(nbytes: int) -> str:
    return f"{nbytes / 1e9:.2f}" if nbytes >= 1e8 else f"{nbytes / 1e9:.2g}"
