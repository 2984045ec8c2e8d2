"""Figures as text: the rows of the terminal's tables, and Markdown for a model card."""

from collections.abc import Mapping, Sequence
from typing import Any

from mlx_magistral.evals.report.comparison import Comparison
from mlx_magistral.evals.report.figures import Spread, TaskFigures
from mlx_magistral.evals.report.statistics import Interval
from mlx_magistral.version import __version__

FIGURE_HEADINGS = (
    *("task", "problems", "n", "pass@1", "95 %", "re-run", "maj@n", "card"),
    *("thinking", "answer", "cut", "looped", "s"),
)
COMPARISON_HEADINGS = ("task", "problems", "A", "B", "B - A", "95 %", "p", "for 2 points")

FIGURE_NOTE = (
    "In percent; tokens and seconds of a reply as median / 95th percentile. 95 % is for problems "
    "like these, re-run for these once more; cut by the limit or the budget, looped by the guard."
)
COMPARISON_NOTE = (
    "In percent, paired by problem. 95 % is of the difference, for problems like these; p is of a "
    "sign-flip test. The last column is how many problems show a difference of 2 points, 4 times "
    "of 5, at the spread seen here."
)


def figure_row(found: TaskFigures) -> list[str]:
    """The cells under FIGURE_HEADINGS; tokens and seconds as median and 95th percentile."""
    rerun = "" if found.rerun is None else f"± {found.rerun * 100:.1f}"
    cut = found.cut_by_length + found.cut_by_budget
    return [
        found.task,
        str(found.problems),
        str(found.samples_each),
        percent(found.pass_at_1),
        _range(found.interval),
        rerun,
        "" if found.majority is None else percent(found.majority),
        "" if found.card is None else f"{found.card:.2f}",
        _spread(found.thinking_tokens),
        _spread(found.answer_tokens),
        percent(cut),
        percent(found.cut_by_loop),
        _spread(found.seconds, 1),
    ]


def comparison_row(found: Comparison) -> list[str]:
    """The cells under COMPARISON_HEADINGS."""
    return [
        found.task,
        str(found.problems),
        percent(found.a),
        percent(found.b),
        f"{found.difference * 100:+.1f}",
        f"{found.interval.low * 100:+.1f} to {found.interval.high * 100:+.1f}",
        f"{found.p:.3f}" if found.p >= 0.001 else "< 0.001",
        "" if found.needed is None else f"{found.needed:,}",
    ]


def protocol_line(record: Mapping[str, Any]) -> str:
    """What was used, for under a table: it stands wherever the figures do."""
    identity, session = record["identity"], record["sessions"][-1]
    model, recipe = identity["model"], identity["recipe"]
    parts = [f"{model['name']}, weights {model['weights'][:12]}"]
    if model["adapter"]:
        parts.append(f"adapter {model['adapter'][:12]}")
    parts.append(f"{model['kv_bits']}-bit KV, context {model['context_tokens']:,}")
    parts.append(f"protocol {recipe['protocol']}")
    for task, drawing in sorted(session.get("drawings", {}).items()):
        parts.append(
            f"{task}: temperature {drawing['temperature']:g}, top-p {drawing['top_p']:g}, at most "
            f"{drawing['max_tokens']:,} tokens"
        )
    if recipe["think_budget"] is not None:
        parts.append(f"thinking at most {recipe['think_budget']:,} tokens")
    if recipe["on_loop"] != "close":
        parts.append(f"on a loop: {recipe['on_loop']}")
    if recipe["system"] is not None or recipe["template"] is not None:
        parts.append("with a system text or prompt of its own")
    parts.append(f"seed {recipe['seed']}, mlx-magistral {session['version']}")
    return "; ".join(parts) + "."


def markdown(record: Mapping[str, Any], figures: Sequence[TaskFigures]) -> str:
    """A table for a model card, with what it was made by under it."""
    headings = ("task", "pass@1", "95 % interval", "maj@n", "original", "problems x n")
    rows = [
        [
            found.task,
            f"{percent(found.pass_at_1)} %",
            _range(found.interval),
            "" if found.majority is None else f"{percent(found.majority)} %",
            "" if found.card is None else f"{found.card:.2f} %",
            f"{found.problems} x {found.samples_each}",
        ]
        for found in figures
    ]
    data = "; ".join(
        f"{task}: " + ", ".join(f"{key} {value}" for key, value in source.items())
        for task, source in record["identity"]["tasks"].items()
    )
    lines = [_pipes(headings), _pipes(["---"] * len(headings)), *map(_pipes, rows), ""]
    lines += [protocol_line(record), f"Data: {data}.", ""]
    lines.append(f"Made by `mlx-magistral eval` {__version__}; `original` is the model card's.")
    return "\n".join(lines) + "\n"


def percent(share: float) -> str:
    """70.5 for 0.705."""
    return f"{share * 100:.1f}"


def _range(interval: Interval) -> str:
    return f"{percent(interval.low)} to {percent(interval.high)}"


def _spread(spread: Spread, digits: int = 0) -> str:
    return f"{spread.median:,.{digits}f} / {spread.p95:,.{digits}f}"


def _pipes(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
