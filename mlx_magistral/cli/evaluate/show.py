"""``mlx-magistral eval show``: a run's report, or one problem's replies."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.cli.evaluate.table import print_table
from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.options import debug_option
from mlx_magistral.errors import RunError

if TYPE_CHECKING:
    from mlx_magistral.evals.run.sample import Sample

_LISTED = 10
_RUN = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("folder", metavar="RUN", type=_RUN)
@click.argument("problem", required=False)
@click.option("sample", "--sample", type=click.IntRange(0), help="Only this one of its replies.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@click.option("as_markdown", "--markdown", is_flag=True, help="Print a table for a model card.")
@debug_option
def show(
    folder: Path, problem: str | None, sample: int | None, as_json: bool, as_markdown: bool
) -> None:
    """Report what a run came to, or show the replies to one PROBLEM.

    Works on a run that is still going on. PROBLEM is an id, or TASK/ID.

    \b
      mlx-magistral eval show RUN
      mlx-magistral eval show RUN addition-7
    """
    if problem is not None:
        show_problem(folder, problem, sample, as_json=as_json)
    else:
        print_report(folder, as_json=as_json, as_markdown=as_markdown)


def print_report(folder: Path, *, as_json: bool, as_markdown: bool = False) -> None:
    """The figures of a run, as a table, JSON or Markdown, and what was used for them."""
    from mlx_magistral.evals.report import tables
    from mlx_magistral.evals.report.figures import task_figures
    from mlx_magistral.evals.run.folder import read_run, read_samples

    record, samples = read_run(folder), read_samples(folder)
    figures = task_figures(samples)
    if as_json:
        found = [each.to_json() for each in figures]
        # The drawings, versions and times are those of the last session.
        used = {"identity": record["identity"], "session": record["sessions"][-1]}
        report = {"run": str(folder), **used, "tasks": found}
        echo_json(report)
        return
    if not figures:
        raise RunError(f"{folder} has no replies yet.")
    if as_markdown:
        click.echo(tables.markdown(record, figures), nl=False)
        return
    print_table(tables.FIGURE_HEADINGS, [tables.figure_row(each) for each in figures])
    for each in figures:
        for name, (count, share) in each.groups.items():
            echo(f"  {name}: {tables.percent(share)} of {count}", 4)
    echo(tables.FIGURE_NOTE)
    echo(tables.protocol_line(record))
    for each in figures:
        if each.unparsed:
            _list_unparsed(each.task, each.unparsed)


def show_problem(folder: Path, name: str, index: int | None, *, as_json: bool) -> None:
    """A problem's text, what is right, and each reply with its verdict."""
    from mlx_magistral.evals.run.folder import read_problems, read_samples

    task, _, id = name.rpartition("/")
    samples = [
        each
        for each in read_samples(folder)
        if each.problem in (id, name) and task in ("", each.task) and index in (None, each.sample)
    ]
    if not samples:
        raise RunError(f"{folder} has no reply to a problem {name}.")
    texts = read_problems(folder)
    if as_json:
        shown = [each.to_json() for each in samples]
        found: dict[str, Any] = texts.get((samples[0].task, samples[0].problem), {})
        echo_json({"problem": found, "samples": shown})
        return
    for key in sorted({(each.task, each.problem) for each in samples}):
        if key in texts:
            click.echo(f"# {'/'.join(key)}\n\n{texts[key]['prompt']}\n")
        for each in sorted(samples, key=lambda sample: sample.sample):
            if (each.task, each.problem) == key:
                _show_sample(each)


def _show_sample(sample: "Sample") -> None:
    limit = f", cut by {sample.limit}" if sample.limit else ""
    note = f", {sample.note}" if sample.note else ""
    click.echo(
        f"## Reply {sample.sample}: {sample.verdict.value}{note}; read {sample.parsed!r}, right is "
        f"{sample.expected!r}; {sample.thinking_tokens:,} + {sample.answer_tokens:,} tokens in "
        f"{sample.seconds:.1f} s{limit}\n"
    )
    if sample.thinking:
        click.echo(click.style(sample.thinking, dim=True) + "\n")
    click.echo(f"{sample.answer or '(no answer)'}\n")


def _list_unparsed(task: str, unparsed: tuple[tuple[str, int, str], ...]) -> None:
    listed = ", ".join(
        f"{problem}:{sample} ({note})" for problem, sample, note in unparsed[:_LISTED]
    )
    more = f" and {len(unparsed) - _LISTED:,} more" if len(unparsed) > _LISTED else ""
    echo(f"{task}: counted wrong because no answer could be read: {listed}{more}.")
