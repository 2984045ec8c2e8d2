"""Which widths a recipe's mix comes to for one source: measured where it asks for that, once."""

import numpy as np

from magistral_convert.output.journal import Journal
from magistral_convert.progress import Watcher
from magistral_convert.recipe import Mix, Recipe
from magistral_convert.sources.source import Source
from mlx_magistral.model.quant_config import QuantFormat

from .data import CalibrationText
from .mixes import MIX_WIDTHS, allocate_bits, static_overrides
from .sensitivity import SENSITIVITY_TOKENS, measure_sensitivities

_COSTS_FILE = "costs.json"


def resolve_mix(
    source: Source,
    recipe: Recipe,
    text: CalibrationText | None,
    journal: Journal,
    watcher: Watcher,
) -> dict[str, QuantFormat]:
    """The modules that get other widths than the recipe's; what was measured once is kept.

    Raises ConversionError where the bits asked for are too few.
    """
    if recipe.mix is Mix.STATIC:
        return static_overrides(source.shapes, recipe.group_size)
    if recipe.mix is Mix.NONE:
        return {}
    assert text is not None and recipe.bits_per_weight is not None
    costs = journal.load(_COSTS_FILE)
    if costs is None:
        # From all over the text, whose kinds follow one another.
        rows, length = text.calibration.shape
        count = min(rows, max(1, SENSITIVITY_TOKENS // length))
        tokens = text.calibration[np.linspace(0, rows - 1, count).round().astype(int)]
        widths = [width for width in MIX_WIDTHS if width >= recipe.bits]
        measured = measure_sensitivities(source, tokens, widths, recipe, watcher)
        costs = journal.store(_COSTS_FILE, measured)
    # Keys of JSON objects are text.
    by_width = {
        module: {int(bits): cost for bits, cost in each.items()} for module, each in costs.items()
    }
    return allocate_bits(
        source.shapes, by_width, recipe.bits, recipe.group_size, recipe.bits_per_weight
    )
