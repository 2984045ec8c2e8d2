"""What `train` and `train-drafter` have in common: flags of the run, and running with a display."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from mlx_magistral.cli.options import debug_option, output_options, refuse_both

if TYPE_CHECKING:
    from mlx_magistral.cli.train_display import TrainDisplay
    from mlx_magistral.train.history import History

Command = TypeVar("Command", bound=Callable[..., Any])
Display = TypeVar("Display", bound="TrainDisplay", contravariant=True)

sessions_option = click.option(
    "sessions",
    "--from-sessions",
    multiple=True,
    metavar="TEXT",
    help="Your own chats: a session's name, or words that sessions hold; repeatable.",
)


def run_options(command: Command) -> Command:
    """--restart, --dry-run, --json, and the options of every command's output."""
    options = (
        click.option("--restart", is_flag=True, help="Throw what is in OUTPUT away."),
        click.option(
            "is_dry", "--dry-run", is_flag=True, help="Check the data, show the plan, and end."
        ),
        click.option(
            "as_json", "--json", is_flag=True, help="A JSON line for each step on stdout."
        ),
        output_options,
        debug_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@dataclass(frozen=True)
class Shown:
    """How much a display says."""

    as_json: bool
    is_quiet: bool
    is_verbose: bool


@dataclass(frozen=True)
class RunFlags(Shown):
    """What run_options brought."""

    is_dry: bool
    restart: bool

    @classmethod
    def taken_from(cls, options: dict[str, Any]) -> "RunFlags":
        """Take them out of a command's options; raises UsageError where two exclude each other."""
        flags = cls(**{each.name: options.pop(each.name) for each in fields(cls)})
        refuse_both(is_quiet=flags.is_quiet, is_verbose=flags.is_verbose)
        return flags

    @property
    def shown(self) -> dict[str, bool]:
        """As a display takes them."""
        return {each.name: getattr(self, each.name) for each in fields(Shown)}


class Plan(Protocol):
    """Of memory."""

    def require_fit(self) -> None:
        """Raise MemoryPlanError where it does not fit."""


class Job(Protocol[Display]):
    """A training that is opened and has not begun."""

    @property
    def plan(self) -> Plan:
        """What it needs."""

    def run(self, watcher: Display, *, restart: bool) -> "History":
        """Train, or go on."""


def run_job(
    job: Job[Display], flags: RunFlags, show: Callable[[], None], display: Display, folder: Path
) -> None:
    """Show what will be done, do it unless it is a dry run, and print where the result is."""
    if not flags.is_quiet:
        show()
    job.plan.require_fit()
    if flags.is_dry:
        return
    with display:
        try:
            history = job.run(display, restart=flags.restart)
        except KeyboardInterrupt:
            display.interrupted()
            raise
        display.ended(history)
    if not flags.as_json:
        click.echo(folder)
