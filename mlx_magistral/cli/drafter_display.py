"""What a training of a head shows: the plan, replies as they come, and acceptance as it grows."""

import time

import click

from mlx_magistral.cli.layout import echo, window_columns
from mlx_magistral.cli.train_display import TrainDisplay
from mlx_magistral.terminal.times import TimeLeft, duration
from mlx_magistral.train.drafter.job import DrafterJob
from mlx_magistral.train.drafter.watcher import DrafterWatcher
from mlx_magistral.train.history import History, ValidRecord
from mlx_magistral.train.plot import points_plot

_LINE_SECONDS = 10.0
_MOST_PROBLEMS = 3


def show_drafter_job(job: DrafterJob) -> None:
    """The plan, on stderr."""
    echo(f"{len(job.prompts):,} prompts.", 2, err=True)
    echo(job.plan.describe(), 2, err=True)
    layer = job.head
    echo(
        f"Head: features of layers {', '.join(map(str, layer.aux_layers))}, "
        f"{layer.draft_vocab_size:,} of {layer.layer.vocab_size:,} ids, MLP of "
        f"{layer.layer.hidden_dim:,}. States on disk: up to {job.request.disk_bytes / 1e9:.3g} GB.",
        2,
        err=True,
    )


class DrafterDisplay(TrainDisplay, DrafterWatcher):
    """As TrainDisplay, with replies before the steps and ids a pass at each validation."""

    def __init__(self, *, as_json: bool, is_quiet: bool, is_verbose: bool) -> None:
        super().__init__(1, as_json=as_json, is_quiet=is_quiet, is_verbose=is_verbose)
        self._left = TimeLeft()
        self._problems = 0

    def replied(self, replies: int, prompts: int, tokens: int) -> None:
        left = self._left.seconds(time.monotonic(), replies, prompts)
        if time.monotonic() - self._told < _LINE_SECONDS and replies < prompts:
            return
        self._told = time.monotonic()
        shown = "" if left is None else f", {duration(left)} left at most"
        self._say(f"{replies:,} of {prompts:,} replies, {tokens:,} tokens{shown}.")

    def problem(self, line: str) -> None:
        self._problems += 1
        if self._problems <= _MOST_PROBLEMS:
            self._say(line)

    def begins(self, step: int, steps: int) -> None:
        self._iters = steps
        if step:
            self.resumed(step)
        else:
            self._say(f"{steps:,} steps.")

    def validated(self, record: ValidRecord, history: History) -> None:
        if record.ids_a_pass is None:
            super().validated(record, history)
            return
        self._tell(record)
        mark = ", the best so far" if history.best is record else ""
        self._say(
            f"Step {record.step:,}: {record.ids_a_pass:.2f} ids a pass held out, loss "
            f"{record.loss:.3f}{mark}."
        )

    def ended(self, history: History) -> None:
        super().ended(history)
        grown = [(each.step, each.ids_a_pass) for each in history.valid if each.ids_a_pass]
        if self._is_quiet or len(grown) < 2:
            return
        click.echo("Ids a pass, held out:", err=True)
        for line in points_plot(grown, grown, min(window_columns(err=True) or 80, 100)):
            click.echo(line, err=True)
