"""Which widths a recipe's mix comes to for one source: measured where it asks for that, once."""

import numpy as np

from magistral_convert.output.journal import Journal
from magistral_convert.progress import Watcher
from magistral_convert.recipe import Mix, Recipe, module_path
from magistral_convert.sources.source import Source
from mlx_magistral.model.quant_config import QuantFormat

from .data import CalibrationText
from .mixes import allocate_formats, mix_formats, static_overrides
from .sensitivity import SENSITIVITY_TOKENS, Sensitivities, measure_sensitivities

_COSTS_FILE = "costs.json"


def resolve_mix(
    source: Source,
    recipe: Recipe,
    text: CalibrationText | None,
    journal: Journal,
    watcher: Watcher,
) -> dict[str, QuantFormat]:
    """The modules that get other formats than the recipe's; what was measured once is kept."""
    if recipe.mix is Mix.STATIC:
        return static_overrides(source.shapes, recipe.group_size, recipe.bits)
    if recipe.mix is Mix.NONE:
        return {}
    assert text is not None and recipe.bits_per_weight is not None
    assert recipe.default_format is not None
    costs = journal.load(_COSTS_FILE)
    if costs is None:
        # From all over the text, whose kinds follow one another.
        rows, length = text.calibration.shape
        count = min(rows, max(1, SENSITIVITY_TOKENS // length))
        tokens = text.calibration[np.linspace(0, rows - 1, count).round().astype(int)]
        formats = {
            module_path(name): mix_formats(recipe.bits, shape[1])
            for name, shape in source.shapes.items()
            if len(shape) == 2
        }
        measured = measure_sensitivities(source, tokens, formats, recipe, watcher)
        costs = journal.store(_COSTS_FILE, _as_json(measured))
    return allocate_formats(
        source.shapes, _from_json(costs), recipe.default_format, recipe.bits_per_weight
    )


def _as_json(costs: Sensitivities) -> dict[str, dict[str, float]]:
    """Formats become keys of JSON objects, which are text: 4/64."""
    return {
        module: {f"{format.bits}/{format.group_size}": cost for format, cost in each.items()}
        for module, each in costs.items()
    }


def _from_json(stored: dict[str, dict[str, float]]) -> Sensitivities:
    costs: Sensitivities = {}
    for module, each in stored.items():
        costs[module] = {}
        for key, cost in each.items():
            bits, _, size = key.partition("/")
            costs[module][QuantFormat(int(size), int(bits))] = cost
    return costs
