"""Whether the values of options are what they have to be; a wrong one is named, before any work."""

import math
from numbers import Integral, Real

from mlx_magistral.errors import UsageError


def require_number(name: str, value: object) -> None:
    """Raise UsageError for what is no finite number; True and "0.7" are none."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise UsageError(f"{name} must be a number, not {value!r}.")


def require_whole(name: str, value: object) -> None:
    """Raise UsageError for what is no whole number; 2.5, 2.0 and "2" are none."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"{name} must be a whole number, not {value!r}.")
