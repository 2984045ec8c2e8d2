"""``mlx-magistral eval plot``: lengths of one run, or accuracy by budget of several."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlx_magistral.cli.layout import window_columns
from mlx_magistral.cli.options import debug_option

if TYPE_CHECKING:
    from mlx_magistral.evals.report.plots import Curve, Histogram

_RUN = click.Path(file_okay=False, path_type=Path)
# In a pipe, where there is no window.
_COLUMNS = 100


@click.command()
@click.argument("folders", metavar="RUN...", nargs=-1, required=True, type=_RUN)
@click.option(
    "target",
    "--png",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a picture instead of printing.",
)
@debug_option
def plot(folders: tuple[Path, ...], target: Path | None) -> None:
    """Plot how long one RUN thought, or how accuracy of several goes with their thinking budget.

    \b
      mlx-magistral eval plot RUN
      mlx-magistral eval plot budget-* --png budgets.png
    """
    from mlx_magistral.evals.report.picture import save_png
    from mlx_magistral.evals.report.plots import plot_lines

    panels = _histograms(folders[0]) if len(folders) == 1 else _curves(folders)
    if target is not None:
        save_png(target, ", ".join(map(str, folders)), panels)
        click.echo(target)
        return
    columns = window_columns() or _COLUMNS
    for panel in panels:
        click.echo("\n".join(plot_lines(panel, columns)))


def _histograms(folder: Path) -> "list[Curve | Histogram]":
    from mlx_magistral.evals.report.plots import histogram
    from mlx_magistral.evals.run.folder import read_run, read_samples

    read_run(folder)
    samples = read_samples(folder)
    tasks = sorted({sample.task for sample in samples})
    return [histogram(task, [each for each in samples if each.task == task]) for task in tasks]


def _curves(folders: tuple[Path, ...]) -> "list[Curve | Histogram]":
    from mlx_magistral.evals.report.figures import task_figures
    from mlx_magistral.evals.report.plots import budget_curves
    from mlx_magistral.evals.run.folder import read_run, read_samples

    runs = [
        (
            read_run(folder)["identity"]["recipe"]["think_budget"],
            task_figures(read_samples(folder)),
        )
        for folder in folders
    ]
    return list(budget_curves(runs))
