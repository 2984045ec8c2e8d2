"""What a conversion tells whoever watches it. The base class ignores everything.

No printing here: the command line draws these calls, tests record them.
"""

from dataclasses import dataclass
from typing import Any

from .output.plan import ConversionPlan


@dataclass(frozen=True)
class Forecast:
    """What a conversion is going to make, and what it will take."""

    plan: ConversionPlan
    source_bytes: int
    memory_bytes: int  # an estimate
    warnings: tuple[str, ...] = ()
    seconds: float | None = None  # an estimate of calibration's; None for a plain conversion


class Watcher:
    """Override what you want to know."""

    def foretold(self, forecast: Forecast) -> None:
        """Everything is checked and about to start."""

    def resumed(self, shards: int, weights: int) -> None:
        """So many shards, and weights in them, were there already and still hash right."""

    def expected(self, amount: int) -> None:
        """A further pass over the model begins; ``advanced`` will add up to this."""

    def started(self, tensor: str) -> None:
        """Work on a tensor (HF name) begins."""

    def advanced(self, weights: int) -> None:
        """So many more weights are done, or so much of what was expected."""


@dataclass(frozen=True)
class ConversionReport:
    """What a finished conversion measured."""

    nbytes: int
    bits_per_weight: float
    seconds: float
    peak_memory_bytes: int
    shards_resumed: int
    shards: int
    worst_tensor: str
    worst_error: float
    quality: dict[str, Any]  # Comparison.summary(), empty for the plain method
