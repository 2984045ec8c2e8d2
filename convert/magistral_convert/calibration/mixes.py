"""Which module gets how many bits: all the same, a fixed table, or by measured sensitivity."""

from collections.abc import Mapping
from math import prod

from magistral_convert.recipe import module_path
from mlx_magistral.errors import ConversionError
from mlx_magistral.model.quant_config import QuantFormat

# Per parameter v_proj is 6 to 20 times and k_proj 2 to 6 times as sensitive as the rest.
_STATIC_BITS = {"self_attn.v_proj": 6, "self_attn.k_proj": 5, "lm_head": 6}
# No 3 bits unless asked for: they lengthen chains of reasoning.
MIX_WIDTHS = (4, 5, 6, 8)


def static_overrides(
    shapes: Mapping[str, tuple[int, ...]], group_size: int
) -> dict[str, QuantFormat]:
    """v 6, k 5, head 6 bits over a default of 4: 0.25 GB more for Magistral."""
    modules = [module_path(name) for name, shape in shapes.items() if len(shape) == 2]
    return {
        module: QuantFormat(group_size, bits)
        for module in modules
        for ending, bits in _STATIC_BITS.items()
        if module.endswith(ending)
    }


def allocate_bits(
    shapes: Mapping[str, tuple[int, ...]],
    costs: Mapping[str, Mapping[int, float]],
    base_bits: int,
    group_size: int,
    bits_per_weight: float,
) -> dict[str, QuantFormat]:
    """Widths that cost the model least within an average of ``bits_per_weight``, scales included.

    Each step takes the widening that saves most for its size. Returns what differs from
    ``base_bits``. Raises ConversionError where not even that fits.
    """
    sizes = {module_path(name): prod(shape) for name, shape in shapes.items() if len(shape) == 2}
    total = sum(prod(shape) for shape in shapes.values())
    vectors = total - sum(sizes.values())
    scale_bits = 32 / group_size
    least = sum(sizes.values()) * (base_bits + scale_bits) + 16 * vectors
    room = total * bits_per_weight - least
    if room < 0:
        raise ConversionError(
            f"--bits-per-weight {bits_per_weight} is less than {least / total:.3f}, what "
            f"{base_bits} bits in groups of {group_size} take everywhere. Choose more."
        )
    widths = dict.fromkeys(costs, base_bits)
    while True:
        steps = [
            (_saving(costs[module], now, wider) / sizes[module], module, wider)
            for module, now in widths.items()
            for wider in MIX_WIDTHS
            if wider > now and (wider - now) * sizes[module] <= room
        ]
        saving, module, wider = max(steps, default=(0.0, "", 0))
        if saving <= 0:
            break
        room -= (wider - widths[module]) * sizes[module]
        widths[module] = wider
    return {
        module: QuantFormat(group_size, bits)
        for module, bits in sorted(widths.items())
        if bits != base_bits
    }


def _saving(costs: Mapping[int, float], now: int, wider: int) -> float:
    return (costs[now] - costs[wider]) / (wider - now)
