"""``mlx-magistral eval compare``: two runs, problem by problem."""

from pathlib import Path

import click

from mlx_magistral.cli.evaluate.table import print_table
from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.options import debug_option

_RUN = click.Path(file_okay=False, path_type=Path)
_LISTED = 10


@click.command()
@click.argument("a", metavar="RUN_A", type=_RUN)
@click.argument("b", metavar="RUN_B", type=_RUN)
@click.option(
    "--max-loss",
    type=click.FloatRange(0),
    metavar="POINTS",
    help="Exit with 1 unless B's loss is below so many points, by the end of the interval.",
)
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@debug_option
def compare(a: Path, b: Path, max_loss: float | None, as_json: bool) -> int:
    """How much better or worse B is than A on the problems that both have.

    \b
      mlx-magistral eval compare eval-runs/six-bits eval-runs/four-bits --max-loss 2
    """
    from mlx_magistral.evals.report import tables
    from mlx_magistral.evals.report.comparison import compare_runs
    from mlx_magistral.evals.run.folder import differences, read_run, read_samples

    records = read_run(a), read_run(b)
    found = compare_runs(read_samples(a), read_samples(b))
    differ = differences(records[0]["identity"], records[1]["identity"])
    lost = max_loss is not None and any(-each.interval.low * 100 > max_loss for each in found)
    if as_json:
        result = {"a": str(a), "b": str(b), "differ": differ}
        echo_json({**result, "tasks": [each.to_json() for each in found]})
        return int(lost)
    print_table(tables.COMPARISON_HEADINGS, [tables.comparison_row(each) for each in found])
    echo(tables.COMPARISON_NOTE)
    for letter, folder, record in zip("AB", (a, b), records, strict=True):
        echo(f"{letter} is {folder}: {tables.protocol_line(record)}", 2)
    echo(f"They differ in {', '.join(differ) or 'nothing but chance'}.")
    for each in found:
        parted = [
            f"{part.problem} ({part.a:.2f} and {part.b:.2f})" for part in each.partings[:_LISTED]
        ]
        more = len(each.partings) - _LISTED
        rest = f" and {more:,} more" if more > 0 else ""
        if parted:
            echo(f"{each.task}: they part at {', '.join(parted)}{rest}.")
        if each.left_out:
            echo(f"{each.task}: {each.left_out:,} problems are in one run only, and left out.")
    if lost:
        echo(f"B may lose more than {max_loss:g} points.", err=True)
    return int(lost)
