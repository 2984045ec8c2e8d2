"""What cannot be converted is refused here, from the source's shapes and the disk alone.

Nothing is written, and nothing large was downloaded yet. What only reading the weights tells, such
as a NaN, is found by those who read them.
"""

import shutil
from pathlib import Path

from mlx_magistral.errors import ConversionError

from .calibration.data import CalibrationText
from .calibration.mixes import require_reachable
from .memory import readable_bytes
from .output.place import require_free
from .output.plan import ConversionPlan, plan_conversion
from .recipe import Recipe
from .sources.layer_weights import require_tokens
from .sources.source import Source

# Headers, side files and the journal, generously.
SPARE_BYTES = 64 << 20


def check_conversion(
    source: Source,
    output: Path,
    recipe: Recipe,
    *,
    text: CalibrationText | None = None,
    download_bytes: int = 0,
) -> None:
    """Refuse what cannot be converted, before anything is written or ``download_bytes`` arrive.

    Goes by the source's shapes alone. Raises ConversionError, and UsageError for a mix that cannot
    be reached.
    """
    require_free(output, recipe.to_json())
    if text is None and recipe.needs_text:
        raise ConversionError(f"Recipe {recipe.method} with mix {recipe.mix} needs text.")
    if text is not None:
        require_tokens(source, text.calibration)
        require_tokens(source, text.held_out)
    # A mix changes widths alone, and those by little.
    plan = plan_conversion(source.shapes, recipe)
    require_reachable(source.shapes, recipe)
    if download_bytes:
        _require_room_for_both(source, output, plan, download_bytes)


def _require_room_for_both(
    source: Source, output: Path, plan: ConversionPlan, download_bytes: int
) -> None:
    """A download must not fill the disk that the conversion then needs."""
    download_to, write_to = _existing(source.folder), _existing(output)
    if download_to.stat().st_dev != write_to.stat().st_dev:
        download_bytes = 0
    needed, free = download_bytes + plan.nbytes + SPARE_BYTES, shutil.disk_usage(write_to).free
    if free < needed:
        raise ConversionError(
            f"{write_to} has {readable_bytes(free)} free, and the download with the conversion "
            f"needs {readable_bytes(needed)}. Free some, choose another disk for OUTPUT, or set "
            "HF_HOME to one."
        )


def _existing(place: Path) -> Path:
    while not place.exists():
        place = place.parent
    return place
