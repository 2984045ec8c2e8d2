"""Which module gets which format: all the same, a fixed table, or by measured sensitivity."""

import heapq
import math
from collections.abc import Mapping
from math import prod

from magistral_convert.recipe import (
    GROUP_SIZES,
    TENSOR_BITS,
    Mix,
    Recipe,
    module_path,
    stored_bits,
)
from mlx_magistral.errors import UsageError
from mlx_magistral.model.quant_config import QuantFormat

# Per parameter v_proj is 6 to 20 times and k_proj 2 to 6 times as sensitive as the rest.
_STATIC_BITS = {
    3: {"self_attn.v_proj": 5, "self_attn.k_proj": 4, "lm_head": 6},
    4: {"self_attn.v_proj": 6, "self_attn.k_proj": 5, "lm_head": 6},
}
# At 3 bits what the first and the last layer add to the hidden states gets one more.
_STATIC_ENDS: dict[int, dict[str, int]] = {3: {"mlp.down_proj": 4}, 4: {}}

# By a tensor's HF name, and by module path.
Shapes = Mapping[str, tuple[int, ...]]
Costs = Mapping[str, Mapping[QuantFormat, float]]


def static_overrides(shapes: Shapes, group_size: int, bits: int) -> dict[str, QuantFormat]:
    """The table for a default of 3 or 4 bits: v two more, k one more, the head 6."""
    modules = [module_path(name) for name, shape in shapes.items() if len(shape) == 2]
    last = max((_layer(module) for module in modules), default=-1)
    widths = {}
    for module in modules:
        ends = _STATIC_ENDS[bits] if _layer(module) in (0, last) else {}
        for ending, width in (_STATIC_BITS[bits] | ends).items():
            if module.endswith(ending):
                widths[module] = QuantFormat(group_size, width)
    return widths


def mix_formats(least_bits: int, columns: int) -> list[QuantFormat]:
    """What a mix may give a matrix with so many columns, the smallest first."""
    formats = [
        QuantFormat(size, bits)
        for bits in TENSOR_BITS
        for size in GROUP_SIZES
        if bits >= least_bits and columns % size == 0
    ]
    return sorted(formats, key=stored_bits)


def require_reachable(shapes: Shapes, recipe: Recipe) -> None:
    """Raise UsageError with the nearest that can be where no mix comes to the bits asked for."""
    if recipe.mix is not Mix.AUTO:
        return
    assert recipe.bits_per_weight is not None
    wanted = recipe.bits_per_weight
    # Rounded outwards and inwards, so that the nearest that is named can be had.
    least = math.ceil(1000 * _average(shapes, recipe, place=0)) / 1000
    most = math.floor(1000 * _average(shapes, recipe, place=-1)) / 1000
    if wanted < least:
        raise UsageError(
            f"--bits-per-weight {wanted:g} cannot be reached: {recipe.bits} bits in the largest "
            f"groups take {least:g} everywhere. Choose {least:g} or more."
        )
    if wanted > most:
        raise UsageError(
            f"--bits-per-weight {wanted:g} cannot be reached: 8 bits in groups of 32 come to "
            f"{most:g} everywhere. Choose {most:g} or less, or --bits 16."
        )


def allocate_formats(
    shapes: Shapes, costs: Costs, default: QuantFormat, bits_per_weight: float
) -> dict[str, QuantFormat]:
    """Formats that cost the model least within an average of ``bits_per_weight``, scales included.

    ``costs`` has every matrix. From its smallest formats on, each step takes the growth that saves
    most for its size. Returns what differs from ``default``.
    """
    sizes = {module_path(name): prod(shape) for name, shape in shapes.items() if len(shape) == 2}
    chosen = {module: min(costs[module], key=stored_bits) for module in sizes}
    total = sum(prod(shape) for shape in shapes.values())
    room = total * bits_per_weight - 16 * (total - sum(sizes.values()))
    room -= sum(sizes[module] * stored_bits(chosen[module]) for module in sizes)
    steps: list[tuple[float, str, QuantFormat]] = []

    def offer(module: str) -> None:
        """Put the module's best growth within the room among the steps."""
        growths = _growths(chosen[module], costs[module], room / sizes[module])
        if growths:
            saving, format = max(growths, key=lambda growth: growth[0])
            heapq.heappush(steps, (-saving / sizes[module], module, format))

    for module in sizes:
        offer(module)
    while steps:
        _, module, format = heapq.heappop(steps)
        growth = sizes[module] * (stored_bits(format) - stored_bits(chosen[module]))
        if growth <= room:
            room -= growth
            chosen[module] = format
        offer(module)
    return {module: format for module, format in sorted(chosen.items()) if format != default}


def _growths(
    now: QuantFormat, costs: Mapping[QuantFormat, float], room: float
) -> list[tuple[float, QuantFormat]]:
    """Larger formats within ``room`` bits a weight, and what each saves for a bit a weight."""
    growths = []
    for format, cost in costs.items():
        growth = stored_bits(format) - stored_bits(now)
        if 0 < growth <= room and cost < costs[now]:
            growths.append(((costs[now] - cost) / growth, format))
    return growths


def _average(shapes: Shapes, recipe: Recipe, place: int) -> float:
    """Bits a weight where every matrix has the ``place``-th of its formats."""
    bits = 0.0
    for shape in shapes.values():
        is_matrix = len(shape) == 2
        width = stored_bits(mix_formats(recipe.bits, shape[1])[place]) if is_matrix else 16
        bits += prod(shape) * width
    return bits / sum(prod(shape) for shape in shapes.values())


def _layer(module: str) -> int:
    """The layer a module is in; -1 for the embedding and the head."""
    parts = module.split(".")
    return int(parts[2]) if parts[:2] == ["model", "layers"] else -1
