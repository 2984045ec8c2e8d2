"""Two plots as data and in a terminal's characters: accuracy by thinking budget, and lengths.

picture.py draws the same as a PNG.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mlx_magistral.errors import RunError
from mlx_magistral.evals.report.figures import TaskFigures
from mlx_magistral.evals.report.statistics import Interval
from mlx_magistral.evals.run.sample import Sample

_BINS = 12
# In tenths of a decade: edges of bins are round numbers of these.
_STEPS = (1, 2, 2.5, 5, 10)
_FULL, _LIGHT, _MARK = "█", "░", "│"


@dataclass(frozen=True)
class Bar:
    """One budget's result, or the model card's, which has no interval."""

    name: str
    share: float
    interval: Interval | None = None
    tokens: float | None = None


@dataclass(frozen=True)
class Curve:
    """A task's accuracy by budget, least first, the unbounded run and the card's figure last."""

    task: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Bin:
    """Replies of ``low`` to below ``high`` tokens of thinking, by verdict."""

    low: int
    high: int
    right: int
    wrong: int


@dataclass(frozen=True)
class Histogram:
    """The lengths of a task's thinking."""

    task: str
    bins: tuple[Bin, ...]


def budget_curves(runs: Sequence[tuple[int | None, Sequence[TaskFigures]]]) -> list[Curve]:
    """A curve for each task from runs with their budgets; raises RunError for one budget twice."""
    budgets = [budget for budget, _ in runs]
    for budget in budgets:
        if budgets.count(budget) > 1:
            name = "no budget" if budget is None else f"a budget of {budget:,}"
            raise RunError(f"Two of these runs have {name}. Name runs of different budgets.")
    order = sorted(runs, key=lambda run: float("inf") if run[0] is None else run[0])
    curves = []
    for task in sorted({each.task for _, figures in runs for each in figures}):
        bars, card = [], None
        for budget, figures in order:
            for each in figures:
                if each.task == task:
                    name = "no budget" if budget is None else f"{budget:,}"
                    tokens = each.thinking_tokens.median
                    bars.append(Bar(name, each.pass_at_1, each.interval, tokens))
                    card = each.card
        if card is not None:
            bars.append(Bar("card", card / 100))
        curves.append(Curve(task, tuple(bars)))
    return curves


def histogram(task: str, samples: Sequence[Sample]) -> Histogram:
    """About a dozen bins with round edges."""
    longest = max((sample.thinking_tokens for sample in samples), default=0)
    width = _round_width(longest / _BINS)
    counts = [[0, 0] for _ in range(longest // width + 1)]
    for sample in samples:
        counts[sample.thinking_tokens // width][not sample.is_right] += 1
    bins = [
        Bin(i * width, (i + 1) * width, right, wrong) for i, (right, wrong) in enumerate(counts)
    ]
    return Histogram(task, tuple(bins))


def plot_lines(panel: Curve | Histogram, columns: int) -> list[str]:
    """A panel in lines of about so many columns."""
    return _curve(panel, columns) if isinstance(panel, Curve) else _histogram(panel, columns)


def _curve(curve: Curve, columns: int) -> list[str]:
    """A line a budget: its bar with the interval's ends marked, the share, and the tokens used."""
    width = max(columns - 42, 10)
    names = max(len(bar.name) for bar in curve.bars)
    lines = [f"{curve.task}: pass@1 by thinking budget"]
    for bar in curve.bars:
        drawn = list(_FULL * round(width * bar.share) + " " * (width + 1))[: width + 1]
        text = f"{bar.share * 100:5.1f} %"
        if bar.interval is not None:
            for end in bar.interval:
                drawn[round(width * end)] = _MARK
            text += f" ({bar.interval.low * 100:.1f} to {bar.interval.high * 100:.1f})"
        used = "" if bar.tokens is None else f" {bar.tokens:,.0f} tokens"
        lines.append(f"{bar.name:>{names}} {''.join(drawn)} {text}{used}".rstrip())
    return lines


def _histogram(found: Histogram, columns: int) -> list[str]:
    """A line a bin: right replies full, wrong ones light."""
    most = max((each.right + each.wrong for each in found.bins), default=0) or 1
    edges = [f"{each.low:,}" for each in found.bins]
    width = max(columns - max(map(len, edges)) - 12, 10)
    lines = [f"{found.task}: tokens of thinking, {_FULL} right, {_LIGHT} wrong"]
    for edge, each in zip(edges, found.bins, strict=True):
        right = round(width * each.right / most)
        both = max(round(width * (each.right + each.wrong) / most), right)
        bar = _FULL * right + _LIGHT * (both - right)
        lines.append(f"{edge:>{max(map(len, edges))}} {bar} {each.right + each.wrong:,}")
    return lines


def _round_width(least: float) -> int:
    """The next round number: 1, 2, 5, 10, 20, 25, 50, ..."""
    scale = 1
    while True:
        for step in _STEPS:
            if step * scale >= least and step * scale == int(step * scale):
                return int(step * scale)
        scale *= 10
