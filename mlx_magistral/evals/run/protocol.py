"""Protocols: how a task's replies are drawn and how many, and the figures that others published.

``paper`` is that of the Magistral paper (arXiv 2506.10910, section 5.1 and table 2): temperature
0.7; top-p 1.0 for mathematics and GPQA, 0.95 for code; at most 40k tokens for AIME and
LiveCodeBench, 32k for GPQA; the mean of 64 runs for AIME and of 16 for LiveCodeBench. It does not
say how often GPQA was run. ``card`` is the model card's sampling. ``quick`` is the paper's with 4
runs.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mlx_magistral.decode.rules.loop_guard import OnLoop
from mlx_magistral.errors import UsageError

_LONG, _SHORT = 40_960, 32_768
QUICK_SAMPLES = 4


@dataclass(frozen=True)
class Drawing:
    """How one task's replies are drawn; ``max_tokens`` is thinking and answer together."""

    temperature: float
    top_p: float
    max_tokens: int
    samples: int

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UsageError(f"-n is {self.samples}; each problem takes at least one sample.")


@dataclass(frozen=True)
class Recipe:
    """What the flags change of the protocol; None leaves it."""

    protocol: str = "paper"
    samples: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    think_budget: int | None = None
    on_loop: str = OnLoop.CLOSE
    system: str | None = None
    template: str | None = None
    seed: int = 0

    def drawing(self, protocol_row: str) -> Drawing:
        """How a task of this row is drawn. Raises UsageError for fewer samples than one."""
        drawing = PROTOCOLS[self.protocol][protocol_row]
        given: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "samples": self.samples,
        }
        return replace(drawing, **{key: value for key, value in given.items() if value is not None})

    def identity(self) -> dict[str, Any]:
        """What must not change within a run: all but the number of samples."""
        fields = asdict(self)
        del fields["samples"]
        return fields

    def check(self) -> None:
        """Raise UsageError where it cannot be, before anything is fetched or loaded."""
        self.drawing("other")
        if self.template is not None and "{problem}" not in self.template:
            raise UsageError("--prompt must hold {problem}, where the problem's text goes.")


_PAPER: Mapping[str, Drawing] = {
    "aime": Drawing(0.7, 1.0, _LONG, 64),
    "gpqa": Drawing(0.7, 1.0, _SHORT, 1),
    "livecodebench": Drawing(0.7, 0.95, _LONG, 16),
    "nano": Drawing(0.7, 0.95, _LONG, 1),
    "other": Drawing(0.7, 0.95, _LONG, 1),
}
PROTOCOLS: Mapping[str, Mapping[str, Drawing]] = {
    "paper": _PAPER,
    "card": {row: replace(each, top_p=0.95, max_tokens=_LONG) for row, each in _PAPER.items()},
    "quick": {row: replace(each, samples=QUICK_SAMPLES) for row, each in _PAPER.items()},
}

# Magistral Small 2507's card, pass@1 in percent.
CARD_ROW: Mapping[str, float] = {
    "aime24": 70.52,
    "aime25": 62.03,
    "gpqa-diamond": 65.78,
    "livecodebench-v5": 59.17,
}
