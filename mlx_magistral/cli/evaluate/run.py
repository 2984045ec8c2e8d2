"""``mlx-magistral eval run``: replies to a task's problems, judged."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from mlx_magistral.cli.options import (
    adapter_option,
    batch_memory_options,
    debug_option,
    model_option,
    output_options,
    take_memory,
)
from mlx_magistral.cli.ranks import ranks_options
from mlx_magistral.cli.sections import SectionedCommand

if TYPE_CHECKING:
    from mlx_magistral.cli.run_progress import RunProgress
    from mlx_magistral.engine.magistral import Magistral
    from mlx_magistral.evals.run.folder import RunFolder
    from mlx_magistral.evals.run.protocol import Recipe
    from mlx_magistral.evals.run.session import Session
    from mlx_magistral.evals.scoring.judge import Judges
    from mlx_magistral.evals.tasks.problem import Task
    from mlx_magistral.evals.tasks.public import DataOptions
    from mlx_magistral.hub.repository import Repository

_FILE = click.Path(dir_okay=False, path_type=Path)
_DAY = click.DateTime(["%Y-%m-%d"])


def _complete_task(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from mlx_magistral.evals.tasks.registry import TASKS

    names = [CompletionItem(name) for name in TASKS if name.startswith(incomplete)]
    # First, as model_names.py says why.
    return [CompletionItem(incomplete, type="file"), *names]


class _Run(SectionedCommand):
    sections = {
        "What": ["model", "adapter", "tokenizer", "samples", "limit", "hours", "folder"],
        "How replies are drawn": [
            *("protocol", "temperature", "top_p", "max_tokens", "think_budget", "on_loop"),
            *("system", "template", "seed"),
        ],
        "Data and programs": ["data", "first", "last", "is_unsafe"],
        "Memory": ["width", "kv_bits", "context_tokens", "wired_gb", "force"],
        "Several Macs": ["ranks", "hosts", "split"],
        "Output": ["yes", "as_json", "is_quiet", "is_verbose"],
    }


@click.command(cls=_Run)
@click.argument("names", metavar="TASK...", nargs=-1, required=True, shell_complete=_complete_task)
@model_option
@adapter_option
@click.option("samples", "-n", type=int, help="Replies to each problem.  [default: protocol's]")
@click.option("--limit", type=click.IntRange(1), help="Only so many problems, drawn by the seed.")
@click.option("--hours", type=click.FloatRange(0, min_open=True), help="Begin no reply after them.")
@click.option(
    "folder",
    "--run",
    "-o",
    type=click.Path(file_okay=False, path_type=Path),
    help="The run's folder.  [default: eval-runs/TASK-MODEL-HASH, the same for the same command]",
)
@click.option(
    "--protocol",
    type=click.Choice(["paper", "card", "quick"]),
    default="paper",
    show_default=True,
    help="Sampling and n as in Magistral's paper, on its card, or the paper's with n = 4.",
)
@click.option("--temperature", type=click.FloatRange(0), help="[default: protocol's]")
@click.option("--top-p", type=click.FloatRange(0, 1, min_open=True), help="[default: protocol's]")
@click.option("--max-tokens", type=click.IntRange(1), help="[default: protocol's]")
@click.option("--think-budget", type=click.IntRange(0), help="At most so many ids of thinking.")
@click.option(
    "--on-loop", type=click.Choice(["close", "stop", "off"]), default="close", show_default=True
)
@click.option("--system", "-s", help="System text, added after the official system prompt.")
@click.option("template", "--prompt", help="Text around {problem}, in place of the task's own.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--data", type=_FILE, multiple=True, help="A public task's file, if not by the hub.")
@click.option(
    "first", "--from", type=_DAY, help="LiveCodeBench's first day.  [default: 2024-08-01]"
)
@click.option("last", "--to", type=_DAY, help="And its last.  [default: 2025-02-01]")
@click.option(
    "is_unsafe",
    "--unsafe-no-sandbox",
    is_flag=True,
    help="Run the model's programs with your own rights where no sandbox holds.",
)
@click.option("--width", type=click.IntRange(1), help="Replies at once.  [default: by memory plan]")
@batch_memory_options
@click.option("--yes", "-y", is_flag=True, help="Do not ask whether to start.")
@click.option("as_json", "--json", is_flag=True, help="Print the report as one JSON object.")
@output_options
@debug_option
@ranks_options
def run(names: tuple[str, ...], **options: Any) -> int:
    """Let a model answer a task's problems and judge them.

    TASK is aime24, aime25, gpqa-diamond or livecodebench-v5, fetched from the hub; nano
    (arithmetic, offline); or FILE.jsonl, a file of your own with problem and answer, choices or
    tests. NAME@COMMIT takes a public set as it was then.

    Run the same command again to go on after a kill. n, --limit and --hours may be larger then.

    \b
      mlx-magistral eval nano -m nano
      mlx-magistral eval aime24 -m magistral-4bit --protocol quick
      mlx-magistral eval mine.jsonl -m magistral-4bit -n 4 --hours 8
    """
    from mlx_magistral.cli.evaluate.show import print_report
    from mlx_magistral.cli.run_progress import RunProgress
    from mlx_magistral.evals.run.session import Amounts, Session
    from mlx_magistral.evals.scoring.judge import Judges
    from mlx_magistral.evals.tasks.registry import find_tasks

    is_quiet, as_json = options.pop("is_quiet"), options.pop("as_json")
    recipe = _recipe(options)
    amounts = Amounts(options.pop("limit"), options.pop("width"))
    with RunProgress(is_quiet=is_quiet, is_verbose=options.pop("is_verbose")) as shown:
        recipe.check()
        shown.started("reading the problems")
        tasks = find_tasks(names, _data(options, shown))
        _say_what_is_asked(tasks, shown)
        with Judges(tasks, is_unsafe=options.pop("is_unsafe")) as judges:
            if judges.sandbox is not None:
                shown.note(judges.sandbox.describe())
            tokenizer = options["tokenizer"]
            session = Session(_load(options, shown), tasks, recipe, amounts, tokenizer)
            place = options["folder"] or session.place
            with session.open(place) as folder:
                failed = _make(session, folder, judges, shown, options)
    if failed is None:
        return 1
    print_report(place, as_json=as_json)
    return 1 if failed else 0


def _recipe(options: dict[str, Any]) -> "Recipe":
    from mlx_magistral.evals.run.protocol import Recipe

    return Recipe(**{name: options.pop(name) for name in Recipe.__dataclass_fields__})


def _data(options: dict[str, Any], shown: "RunProgress") -> "DataOptions":
    from mlx_magistral.cli.fetching import fetch_data
    from mlx_magistral.evals.tasks.public import WINDOW, DataOptions

    def fetch(repository: "Repository") -> Path:
        if repository.missing_bytes:
            shown.note(f"{repository.name}: fetching {repository.missing_bytes / 1e6:,.1f} MB.")
        return fetch_data(repository, is_shown=not shown.is_quiet)

    first, last = options.pop("first"), options.pop("last")
    return DataOptions(
        paths=options.pop("data"),
        first=first.date() if first else WINDOW[0],
        last=last.date() if last else WINDOW[1],
        fetch=fetch,
    )


def _say_what_is_asked(tasks: list["Task"], shown: "RunProgress") -> None:
    for task in tasks:
        source = task.source
        where = source.get("repository") or source.get("file") or ", ".join(source["files"])
        at = f" at {source['revision'][:12]}" if "revision" in source else ""
        window = f", {source['from']} to {source['to']}" if "from" in source else ""
        count = len(task.problems)
        problems = f"{count:,} problem{'s' * (count != 1)}"
        shown.note(f"{task.name}: {problems} of {where}{at}{window}.")


def _load(options: dict[str, Any], shown: "RunProgress") -> "Magistral":
    from mlx_magistral.cli.fetching import fetch_named
    from mlx_magistral.engine.magistral import Magistral
    from mlx_magistral.hub.resolve import default_model

    name = options.pop("model") or default_model()
    fetch_named(name, options["tokenizer"], must_fit=options["reader"] is None)
    parts = {each: options.pop(each) for each in ("adapter", "reader")}
    loaded = Magistral.load(name, **take_memory(options), **parts)
    if loaded.memory.note is not None:
        shown.note(loaded.memory.note)
    return loaded


def _make(
    session: "Session",
    folder: "RunFolder",
    judges: "Judges",
    shown: "RunProgress",
    options: dict[str, Any],
) -> int | None:
    """Make what is left; how many replies failed, None where somebody did not want to start."""
    from mlx_magistral.evals.tally import Tally

    left, total = session.left(folder), len(session.planned)
    shown.note(f"{folder.folder}: {total - len(left):,} of {total:,} replies are there.")
    if not left:
        return 0
    if not shown.is_quiet:
        shown.note(session.cost(folder, left).line() + ".")
        if sys.stdin.isatty() and not options["yes"]:
            if not click.confirm("Start?", default=True, err=True):
                return None
    hours = options["hours"]
    deadline = None if hours is None else time.monotonic() + hours * 3600
    tally = Tally(total, total - len(left))
    try:
        failures = session.run(
            folder, left, judges.judge, tally, lambda: shown.update(tally), deadline
        )
    except KeyboardInterrupt:
        there = total - len(session.left(folder))
        shown.note(f"{there:,} of {total:,} replies are there; the same command goes on.")
        raise
    shown.finish(tally)
    if failures:
        shown.note(f"{len(failures):,} replies failed; run the same command again. {failures[0]}")
    if tally.done < total and not failures:
        shown.note(f"{tally.done:,} of {total:,} replies are there; the same command goes on.")
    return len(failures)
