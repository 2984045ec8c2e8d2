"""``mlx-magistral bench``: how fast a model runs here."""

from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from mlx_magistral.cli.layout import TABLE_COLUMNS, echo, echo_json, window_columns
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option, model_option, output_options
from mlx_magistral.cli.ranks import ranks_options
from mlx_magistral.errors import UsageError
from mlx_magistral.terminal.times import elapsed

if TYPE_CHECKING:
    from mlx_magistral.bench.bandwidth import Bandwidth
    from mlx_magistral.bench.measure import Case, Result, Run
    from mlx_magistral.cli.steps import Steps
    from mlx_magistral.engine.reading import ModelReader

# Blocks that the fastest case's bar has.
_BAR = 10
# What a reply may take, thinking and answer.
_REPLY_TOKENS = 1000
_HEADINGS = ("prompt", "KV", "guessing", "prefill", "decode", "ids/pass", "peak", "of limit")


@click.command()
@model_option
@click.option(
    "--draft",
    shell_complete=complete_model,
    help="A smaller model of the same vocabulary that guesses.",
)
@click.option(
    "--prompt-tokens", type=click.IntRange(1), multiple=True, default=(512, 2048), show_default=True
)
@click.option("--tokens", type=click.IntRange(2), default=128, show_default=True, help="To decode.")
@click.option(
    "--kv-bits",
    type=click.Choice(["16", "8", "4"]),
    multiple=True,
    default=("16",),
    show_default=True,
)
@click.option(
    "--speculate",
    multiple=True,
    default=("off",),
    show_default=True,
    help="auto, off, or ids at a time; repeatable, as the three before.",
)
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Of each case.")
@click.option("--versus", type=click.Choice(["mlx-lm"]), help="Run it after, on the same folder.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@output_options
@debug_option
@ranks_options
def command(
    model: str | None,
    draft: str | None,
    prompt_tokens: tuple[int, ...],
    tokens: int,
    kv_bits: tuple[str, ...],
    speculate: tuple[str, ...],
    runs: int,
    versus: str | None,
    as_json: bool,
    is_quiet: bool,
    is_verbose: bool,
    reader: "ModelReader | None",
) -> None:
    """Measure prefill and decode, and the share of the memory's bandwidth that decode reaches.

    Greedy, the cases in turn, medians of the runs after one that is not counted. With --versus each
    engine runs in a process of its own, one after the other: one model is in memory at a time.

    \b
      mlx-magistral bench -m magistral-4bit
      mlx-magistral bench -m magistral-4bit --speculate off --speculate auto --versus mlx-lm
    """
    from mlx_magistral.bench.apart import Job, measure_apart, measure_here
    from mlx_magistral.bench.bandwidth import machine_bandwidth
    from mlx_magistral.bench.measure import Case
    from mlx_magistral.bench.peer import require_peer
    from mlx_magistral.cli.fetching import fetch_model
    from mlx_magistral.cli.steps import Steps
    from mlx_magistral.hub.resolve import default_model, resolve_model

    name = model or default_model()
    is_quiet = is_quiet or as_json
    fetch_model(name, is_shown=not is_quiet)
    folder = resolve_model(name)
    if reader is None:
        _require_room(name, folder, max(prompt_tokens) + tokens)
    elif versus is not None:
        raise UsageError(f"--versus {versus} runs on one Mac: leave it or --ranks and --hosts out.")
    cases = [Case(*each) for each in product(prompt_tokens, map(int, kv_bits), speculate)]
    bandwidth = machine_bandwidth()
    jobs = [Job("mlx-magistral", name, draft, cases, tokens, runs, bandwidth.bytes_per_s)]
    if versus is not None:
        require_peer(folder)
        peers = [Case(length, engine=versus) for length in prompt_tokens]
        jobs.append(replace(jobs[0], engine=versus, model=str(folder), draft=None, cases=peers))
    with Steps(is_quiet=is_quiet, is_verbose=is_verbose and not as_json) as steps:
        told = _Told(steps, sum(len(job.cases) for job in jobs) * (runs + 1))
        if versus is None:
            results = measure_here(jobs[0], told, reader)
        else:
            results = [result for job in jobs for result in measure_apart(job, told)]
    if as_json:
        echo_json(_as_dict(name, results, bandwidth, tokens, runs))
    else:
        _print(results, bandwidth)
        echo(_verdict(results))


def _require_room(name: str, folder: Path, longest: int) -> None:
    """Raise what is wrong with the lengths before anything is measured."""
    from mlx_magistral.memory.runtime import MemoryOptions, plan_memory
    from mlx_magistral.model.checkpoint import open_checkpoint

    context = plan_memory(open_checkpoint(folder), MemoryOptions()).plan.context_tokens
    if longest > context:
        raise UsageError(
            f"{longest:,} tokens are more than the context of {name}, {context:,}. "
            "Use shorter --prompt-tokens."
        )


class _Told:
    """Each run as a step, counted."""

    def __init__(self, steps: "Steps", total: int) -> None:
        self._steps = steps
        self._total = total
        self._done = 0

    def __call__(self, case: "Case", run: "Run") -> None:
        self._done += 1
        self._steps.started(
            f"{self._done} of {self._total} runs: {case.prompt_tokens:,} tokens, prefill "
            f"{run.prefill_tps:,.0f}, decode {run.decode_tps:.1f} tok/s"
        )


def _as_dict(
    name: str, results: list["Result"], bandwidth: "Bandwidth", tokens: int, runs: int
) -> dict[str, Any]:
    cases = [
        {**asdict(each.case), **asdict(each.run), "bandwidth_share": each.bandwidth_share}
        for each in results
    ]
    ratios = {f"{length}": ratio for length, ratio in _ratios(results).items()}
    return {
        "model": name,
        "bandwidth_gb_s": bandwidth.bytes_per_s / 1e9,
        "bandwidth_source": bandwidth.source,
        "decode_tokens": tokens,
        "runs": runs,
        "cases": cases,
    } | ({"decode_ratio": ratios} if ratios else {})


def _ratios(results: list["Result"]) -> dict[int, float]:
    """Ours over mlx-lm's decode by prompt length: 16-bit KV, without guessing."""
    found: dict[int, dict[str, float]] = {}
    for each in results:
        if each.case.kv_bits == 16 and each.case.speculate == "off":
            by_engine = found.setdefault(each.case.prompt_tokens, {})
            by_engine[each.case.engine] = each.run.decode_tps
    return {
        length: speeds["mlx-magistral"] / speeds["mlx-lm"]
        for length, speeds in found.items()
        if len(speeds) == 2
    }


def _print(results: list["Result"], bandwidth: "Bandwidth") -> None:
    columns = window_columns()
    if columns is not None and columns < TABLE_COLUMNS:
        _print_list(results)
    else:
        _print_table(results)
    limit = f"{bandwidth.bytes_per_s / 1e9:.0f} GB/s ({bandwidth.source})"
    echo(f"Prefill and decode in tok/s. The limit is reading the weights at {limit}.")
    for length, ratio in _ratios(results).items():
        echo(f"Decode after {length:,} tokens: {ratio:.2f} times mlx-lm's speed.")


def _verdict(results: list["Result"]) -> str:
    """What the figures come to for a reader, and what to try next."""
    ours = [each for each in results if each.case.engine == "mlx-magistral"]
    best = max(ours, key=lambda each: (each.case.prompt_tokens, each.run.decode_tps))
    prompt, run = best.case.prompt_tokens, best.run
    seconds = prompt / run.prefill_tps + _REPLY_TOKENS / run.decode_tps
    told = (
        f"So a reply of {_REPLY_TOKENS:,} tokens to a prompt of {prompt:,} takes about "
        f"{elapsed(seconds)} here."
    )
    if all(each.case.speculate == "off" for each in ours):
        return f"{told} To see what guessing ahead gains: --speculate off --speculate auto."
    return f"{told} Fewer bits are faster: mlx-magistral fit says which suit this machine."


def _bars(results: list["Result"]) -> list[str]:
    """The plot: each case's decode beside the fastest one's."""
    fastest = max(each.run.decode_tps for each in results)
    return ["█" * round(_BAR * each.run.decode_tps / fastest) for each in results]


def _print_list(results: list["Result"]) -> None:
    for each, bar in zip(results, _bars(results), strict=True):
        prompt, bits, guessing, *figures = _row(each.case, each)
        echo(f"{prompt} tokens, {bits}-bit KV, guessing {guessing}:")
        pairs = zip(_HEADINGS[3:], figures, strict=True)
        echo("  " + ", ".join(f"{heading} {figure}" for heading, figure in pairs), 2)
        echo(f"  decode {bar}")


def _print_table(results: list["Result"]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for heading in _HEADINGS:
        side: Literal["left", "right"] = "left" if heading == "guessing" else "right"
        table.add_column(heading, justify=side, no_wrap=True)
    table.add_column("decode", no_wrap=True)
    for each, bar in zip(results, _bars(results), strict=True):
        table.add_row(*_row(each.case, each), bar)
    Console().print(table)


def _row(case: "Case", result: "Result") -> list[str]:
    run = result.run
    guessing = case.speculate if case.engine == "mlx-magistral" else case.engine
    return [
        f"{case.prompt_tokens:,}",
        str(case.kv_bits),
        guessing,
        f"{run.prefill_tps:,.0f}",
        f"{run.decode_tps:.1f}",
        f"{run.tokens_per_pass:.2f}",
        f"{run.peak_bytes / 1e9:.2f} GB",
        f"{result.bandwidth_share:.0%}",
    ]
