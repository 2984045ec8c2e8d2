"""What a training shows: the data check, the first example, the plan, and the loss as it falls."""

import sys
import time
from dataclasses import asdict
from typing import Self

import click

from mlx_magistral.cli.layout import echo, echo_json, window_columns
from mlx_magistral.terminal.display import can_redraw, can_style
from mlx_magistral.terminal.live import LiveRegion
from mlx_magistral.terminal.times import TimeLeft, duration
from mlx_magistral.train.history import History, StepRecord, ValidRecord
from mlx_magistral.train.job import TrainingJob
from mlx_magistral.train.plot import text_plot
from mlx_magistral.train.preview import Stretch, stretches
from mlx_magistral.train.watcher import Watcher

# A line every so often, where nothing is drawn in place.
_LINE_SECONDS = 10.0
_DRAW_SECONDS = 0.25
# Of the first example, so much at its beginning and at its end.
_PREVIEW_CHARACTERS = 700


def show_job(job: TrainingJob) -> None:
    """The check of the data, the first example and the plan, on stderr."""
    for line in job.data.check.lines():
        echo(line, 2, err=True)
    click.echo("The first example; what is learned is green:", err=True)
    click.echo(_coloured(stretches(job.data.train[0], job.tokenizer)), err=True)
    echo(job.plan.describe(), 2, err=True)
    steps = f"Steps: {job.options.iters:,}, examples in each: {_examples_a_step(job):,}"
    echo(f"{steps}, epochs: {_epochs(job):.3g}.", 2, err=True)


class TrainDisplay(Watcher):
    """Use as a context manager. With ``as_json`` a line on stdout for each step and validation."""

    def __init__(
        self, iters: int, *, as_json: bool, is_quiet: bool, is_verbose: bool = False
    ) -> None:
        self._iters = iters
        self._as_json = as_json
        self._is_quiet = is_quiet
        draws = can_redraw(sys.stderr) and not is_quiet and not is_verbose
        self._region = LiveRegion(sys.stderr) if draws else None
        # Every step's line stays with ``is_verbose``, and nothing is drawn in place.
        self._line_seconds = 0.0 if is_verbose else _LINE_SECONDS
        self._told = 0.0
        self._left = TimeLeft()
        self._saved = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._region is not None:
            self._region.draw([])

    def resumed(self, step: int) -> None:
        self._say(f"Going on after step {step:,}.")

    def stepped(self, record: StepRecord, history: History) -> None:
        # From the first step on, whether it is shown or not.
        self._left.seconds(time.monotonic(), record.step, self._iters)
        if self._as_json:
            echo_json(asdict(record))
        now = time.monotonic()
        waited = _DRAW_SECONDS if self._region else self._line_seconds
        is_due = now - self._told >= waited or record.step in (1, self._iters)
        if self._is_quiet or not is_due:
            return
        self._told = now
        if self._region is None:
            click.echo(self._line(history), err=True)
        else:
            columns = self._region.columns
            plot = text_plot(history, min(columns, 100))
            self._region.draw([*plot, self._line(history)[:columns]])

    def validated(self, record: ValidRecord, history: History) -> None:
        self._tell(record)
        best = history.best
        mark = ", the best so far" if best is record else ""
        self._say(f"Step {record.step:,}: held-out loss {record.loss:.4f}{mark}.")

    def _tell(self, record: ValidRecord) -> None:
        if self._as_json:
            echo_json(record.to_json())

    def saved(self, step: int) -> None:
        self._saved = step

    def interrupted(self) -> None:
        """What was done is not lost."""
        if self._saved:
            self._say(f"Saved after step {self._saved:,}. The same command goes on.")

    def ended(self, history: History) -> None:
        """The whole curve, for good."""
        if self._is_quiet:
            return
        if self._region is not None:
            self._region.draw([])
        for line in text_plot(history, min(window_columns(err=True) or 80, 100)):
            click.echo(line, err=True)

    def _line(self, history: History) -> str:
        last = history.steps[-1]
        left = self._left.seconds(time.monotonic(), last.step, self._iters)
        shown = "?" if left is None else duration(left)
        return (
            f"step {last.step:,}/{self._iters:,}  loss {last.loss:.4f}  rate {last.rate:.2g}  "
            f"{history.tokens_per_second:,.0f} tok/s  {shown} left"
        )

    def _say(self, line: str) -> None:
        if self._is_quiet:
            return
        if self._region is None:
            click.echo(line, err=True)
        else:
            self._region.commit([line])


def _coloured(parts: list[Stretch]) -> str:
    """Green where it is learned; where colours are not shown, in ⟦ ⟧."""
    text = "".join(part.text for part in parts)
    has_colour = can_style(sys.stderr)
    shown, place, dropped = [], 0, False
    for part in parts:
        kept = "".join(
            each
            for index, each in enumerate(part.text, start=place)
            if index < _PREVIEW_CHARACTERS or index >= len(text) - _PREVIEW_CHARACTERS
        )
        if len(kept) < len(part.text) and not dropped:
            kept, dropped = f"{kept[:_PREVIEW_CHARACTERS]} … {kept[_PREVIEW_CHARACTERS:]}", True
        place += len(part.text)
        if not part.is_learned:
            shown.append(click.style(kept, dim=True) if has_colour else kept)
        else:
            shown.append(click.style(kept, fg="green") if has_colour else f"⟦{kept}⟧")
    return "".join(shown)


def _examples_a_step(job: TrainingJob) -> int:
    return job.options.batch_size * job.options.grad_accumulation_steps


def _epochs(job: TrainingJob) -> float:
    return job.options.iters * _examples_a_step(job) / len(job.data.train)
