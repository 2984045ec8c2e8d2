"""Numbers that are none, traced to the tensor that holds them."""

from collections.abc import Mapping

import mlx.core as mx

from magistral_convert.rounding.dense import Array, library
from mlx_magistral.errors import ConversionError

from .source import Source


def require_finite(
    numbers: Array, source: Source, place: str, weights: Mapping[str, mx.array]
) -> None:
    """Raise ConversionError where ``numbers``, computed at ``place``, are not all finite.

    It names the tensor of ``weights`` (by name in the source) that is not, if one is.
    """
    if _is_finite(numbers):
        return
    wrong = next((name for name, array in weights.items() if not _is_finite(array)), None)
    if wrong is not None:
        raise ConversionError(
            f"{source.folder}: {wrong} holds NaN or infinity, so the model is damaged. Fetch or "
            "convert it again."
        )
    raise ConversionError(
        f"{source.folder}: the numbers of {place} are not finite though its weights are: they "
        "exceed what float32 holds. Compare another text, or fetch the model again."
    )


def _is_finite(array: Array) -> bool:
    return bool(library(array).isfinite(array).all())
