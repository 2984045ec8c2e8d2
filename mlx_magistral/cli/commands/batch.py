"""``mlx-magistral batch``: a file of requests in, a file of replies out."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
    from mlx_magistral.evals.batch.lines import RequestLine
    from mlx_magistral.evals.line_file import LineFile


class _Batch(SectionedCommand):
    sections = {
        "Files": ["output", "model", "adapter", "tokenizer"],
        "For requests that do not say": [
            *("temperature", "top_p", "max_tokens", "thinking_token_budget", "seed")
        ],
        "Memory": ["width", "kv_bits", "context_tokens", "wired_gb", "force"],
        "Several Macs": ["ranks", "hosts", "split"],
        "Output": ["is_quiet", "is_verbose"],
    }


@click.command(cls=_Batch)
@click.argument("source", metavar="INPUT", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the answers go, one a line as they are finished.",
)
@model_option
@adapter_option
@click.option("--temperature", type=click.FloatRange(0), help="[default: 0.7]")
@click.option("--top-p", type=float, help="[default: 0.95]")
@click.option("--max-tokens", type=click.IntRange(1), help="[default: the rest of the context]")
@click.option(
    "thinking_token_budget", "--think-budget", type=click.IntRange(0), help="[default: none]"
)
@click.option("--seed", type=click.IntRange(0), help="Each request's seed comes of it.")
@click.option(
    "--width",
    type=click.IntRange(1),
    help="Replies made at once.  [default: as many as the memory plan holds]",
)
@batch_memory_options
@output_options
@debug_option
@ranks_options
def command(source: Path, output: Path, model: str | None, **options: Any) -> int:
    """Answer every request of INPUT, a file of JSON lines, into another.

    A line is a request in OpenAI's batch form, or bare: {"messages": [...]} or {"prompt": "..."}.
    Run the same command again after a kill: what is answered stays, and nothing is asked twice. A
    line that is no request gets an error in its place; the exit code is then 1.

    \b
      mlx-magistral batch questions.jsonl -o answers.jsonl -m magistral-4bit
    """
    from mlx_magistral.cli.run_progress import RunProgress
    from mlx_magistral.evals.batch.answers import count_refused, open_lines
    from mlx_magistral.evals.batch.lines import read_requests, refuse_same_file
    from mlx_magistral.evals.line_file import LineFile
    from mlx_magistral.hub.resolve import default_model

    is_quiet, is_verbose = options.pop("is_quiet"), options.pop("is_verbose")
    refuse_same_file(source, output)
    lines = read_requests(source)
    name = model or default_model()
    adapter, reader = options.pop("adapter"), options.pop("reader")
    # Replies with an adapter are not those of the model alone: they have another name.
    said_by = name if adapter is None else f"{name}+{Path(adapter).resolve().name}"
    with (
        LineFile(output) as answers,
        RunProgress(is_quiet=is_quiet, is_verbose=is_verbose) as shown,
    ):
        left = open_lines(answers, lines, said_by)
        shown.note(f"{len(lines):,} requests, {len(lines) - len(left):,} of them answered.")
        if left:
            loaded = _load(name, options, adapter=adapter, reader=reader)
            _answer(loaded, said_by, left, len(lines), answers, shown, options)
        failed = count_refused(answers)
    if not is_quiet:
        failures = f", {failed:,} of them with an error" if failed else ""
        click.echo(f"{output}: {len(lines):,} answers{failures}.", err=True)
    return 1 if failed else 0


def _load(name: str, options: dict[str, Any], **parts: Any) -> "Magistral":
    from mlx_magistral.cli.fetching import fetch_named
    from mlx_magistral.engine.magistral import Magistral

    fetch_named(name, options["tokenizer"], must_fit=parts["reader"] is None)
    return Magistral.load(name, **take_memory(options), **parts)


def _answer(
    loaded: "Magistral",
    said_by: str,
    left: list["RequestLine"],
    total: int,
    answers: "LineFile",
    shown: "RunProgress",
    options: dict[str, Any],
) -> None:
    from mlx_magistral.batching.pool import ReplyPool
    from mlx_magistral.cli.batch_bodies import server_protocols
    from mlx_magistral.evals.batch.run import BatchRun
    from mlx_magistral.evals.tally import Tally
    from mlx_magistral.evals.width import fitting_width

    width = options.pop("width") or fitting_width(loaded)
    given = {key: value for key, value in options.items() if value is not None}
    tally = Tally(total, total - len(left))
    run = BatchRun(answers, server_protocols(said_by, given), tally)
    with ReplyPool(loaded, width) as pool:
        run.run(pool, left, lambda: shown.update(tally))
    shown.finish(tally)
