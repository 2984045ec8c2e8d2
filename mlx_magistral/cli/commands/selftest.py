"""``mlx-magistral selftest``: whether this machine computes what it should."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option

if TYPE_CHECKING:
    from mlx_magistral.selftest.line import Line

# Where the text begins beside ok, differs or GPU.
_HANGING = 9


@click.command()
@click.option("--model", "-m", shell_complete=complete_model, help="Check this model too.")
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.md",
    help="Write the same block into a file.",
)
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@debug_option
def command(model: str | None, report: Path | None, as_json: bool) -> int:
    """Check what this machine computes, in two minutes; exit 1 where something differs.

    Logits per width and KV width, reused prefixes bit for bit, guessing against plain decoding, ids
    against mistral-common, predicted peak memory, decode against the memory's bandwidth, and a
    conversion with read-back, all on the built-in nano. What only a Mac can show is named. The
    whole output is one block to paste into an issue; it names no file and no prompt of yours.

    \b
      mlx-magistral selftest
      mlx-magistral selftest --model magistral-4bit --report selftest.md
    """
    from mlx_magistral.cli.fetching import fetch_model
    from mlx_magistral.selftest.checks import checks, run_check
    from mlx_magistral.selftest.line import State
    from mlx_magistral.selftest.report import first_line, last_lines, shown
    from mlx_magistral.terminal.saving import check_target, write_text

    if report is not None:
        check_target(report)
    if model is not None:
        fetch_model(model, is_shown=not as_json)
    block: list[str] = []
    lines: list[Line] = []
    started = time.perf_counter()

    def tell(text: str) -> None:
        block.append(text)
        if not as_json:
            echo(text, _HANGING)

    tell(first_line())
    for check in checks(model, _round_trip):
        for line in run_check(check):
            lines.append(line)
            tell(shown(line))
    for text in last_lines(lines, time.perf_counter() - started):
        tell(text)
    if report is not None:
        write_text(report, "\n".join(block) + "\n")
    if as_json:
        echo_json({"lines": [asdict(line) for line in lines]})
    return 1 if any(line.state is State.DIFFERS for line in lines) else 0


def _round_trip(target: Path, bits: int) -> tuple[list[str], float]:
    """nano to so many bits and back: what differs, and the largest error of a tensor."""
    from magistral_convert.output.verify import verify_folder, verify_source
    from magistral_convert.pipeline import convert_checkpoint
    from magistral_convert.recipe import Recipe
    from magistral_convert.sources.kinds import open_source
    from mlx_magistral.hub.resolve import nano_folder

    source = open_source(nano_folder())
    report = convert_checkpoint(source, target, Recipe(bits))
    findings = [*verify_folder(target), *verify_source(target, source)]
    return [f"{each.place} {each.problem}" for each in findings], report.worst_error
