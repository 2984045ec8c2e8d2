"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, Literal

import click

from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.errors import UsageError
from mlx_magistral.hub.resolve import MODEL_VARIABLE, NANO

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

# Seen by the group before anything runs; a command only has to accept it.
debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the traceback of an error."
)

model_option = click.option(
    "--model",
    "-m",
    envvar=MODEL_VARIABLE,
    show_envvar=True,
    shell_complete=complete_model,
    help=f"A folder, a hub id, or {NANO}, embedded.  [default: as set by use, else {NANO}]",
)

adapter_option = click.option(
    "--adapter",
    type=click.Path(exists=True, file_okay=False),
    help="The folder of an adapter that train, mlx-lm or PEFT wrote for the model.",
)

_SAMPLING = (
    click.option("--temperature", type=float, default=0.7, show_default=True, help="0 is greedy."),
    click.option("--top-p", type=float, default=0.95, show_default=True, help="Nucleus mass."),
    click.option("--top-k", type=int, default=0, help="Keep the k likeliest ids; 0 keeps all."),
    click.option("--min-p", type=float, default=0.0, help="Drop ids below this share of the top."),
    click.option(
        "--repetition-penalty", type=float, default=1.0, help="Above 1 makes repeats less likely."
    ),
    click.option(
        "--frequency-penalty", type=float, default=0.0, help="Off each time an id has come."
    ),
    click.option("--presence-penalty", type=float, default=0.0, help="Off once an id has come."),
    click.option("--seed", type=int, help="Same seed, same ids on the same machine."),
)

_THINKING = (
    click.option("--think-budget", type=int, help="At most so many ids of thinking; 0 skips it."),
    click.option("--force-think", is_flag=True, help="Begin in an open think block."),
    click.option("--think-close", help="The text put before a forced end of the thinking."),
    click.option(
        "--on-loop",
        type=click.Choice(["close", "stop", "off"]),
        default="close",
        show_default=True,
        help="Thinking in circles: close it and answer, stop, or let it be.",
    ),
)


_MEMORY = (
    click.option(
        "--tokenizer",
        type=click.Path(exists=True, dir_okay=False),
        help="A tekken.json, for a model folder without one.",
    ),
    click.option(
        "--kv-bits",
        type=click.Choice(["16", "8", "4"]),
        help="Bits of the KV cache.  [default: 16, or 8 where memory asks for it]",
    ),
    click.option(
        "context_tokens",
        "--context",
        type=int,
        help="Prompt and reply together.  [default: 40960 or the model's ceiling]",
    ),
    click.option(
        "wired_gb",
        "--wired",
        metavar="GB|auto",
        help="Never page out so much of the memory while the model is loaded; auto is the planned "
        "peak.  [default: none]",
    ),
    click.option(
        "--force",
        is_flag=True,
        help="Load although it does not fit the memory, after a line on by how much.",
    ),
)


_REUSE_PREFIXES = click.option(
    "--reuse-prefixes/--no-reuse-prefixes",
    default=True,
    help="Keep what was computed of prompts, on disk too, and go on from it (cache --help).  "
    "[default: reuse]",
)


def memory_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags of MemoryOptions; take_memory takes them out again."""
    for option in reversed((*_MEMORY, _REUSE_PREFIXES)):
        command = option(command)
    return command


def batch_memory_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The same for many replies at once, each with a prompt of its own: no prefixes are kept."""
    for option in reversed(_MEMORY):
        command = option(command)
    return command


def take_memory(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the memory flags and return them as keywords of ``Magistral.load``."""
    kv_bits = options.pop("kv_bits")
    return {
        "kv_bits": None if kv_bits is None else int(kv_bits),
        "context_tokens": options.pop("context_tokens"),
        "reuse_prefixes": options.pop("reuse_prefixes", False),
        "wired_bytes": _wired_bytes(options.pop("wired_gb")),
        "tokenizer": options.pop("tokenizer"),
        "force": options.pop("force"),
        "on_forced": lambda note: click.echo(note, err=True),
    }


def _wired_bytes(text: str | None) -> int | Literal["auto"] | None:
    if text is None:
        return None
    if text == "auto":
        return "auto"
    try:
        return round(float(text) * 1e9)
    except (ValueError, OverflowError) as error:  # no number, nan, and inf
        raise UsageError(f"--wired takes gigabytes or auto, not {text}.") from error


_SPEED = (
    click.option(
        "--speculate",
        default="auto",
        show_default=True,
        help="Guess ids that text repeats: auto (where it pays), off, or 1 to 47 at a time.",
    ),
    click.option(
        "--draft",
        shell_complete=complete_model,
        help="A smaller model of the same vocabulary, or an EAGLE-3 head, that guesses.",
    ),
)


def speed_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --speculate, a keyword of stream, and --draft, one of load."""
    for option in reversed(_SPEED):
        command = option(command)
    return command


def thinking_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags that bound the thinking; control_from turns them into keywords of stream."""
    for option in reversed(_THINKING):
        command = option(command)
    return command


def control_from(options: dict[str, Any]) -> dict[str, Any]:
    """The flags as keywords of ``Magistral.stream``: those not given are left out."""
    keywords = {name: value for name, value in options.items() if value is not None}
    if keywords.pop("force_think", False):
        keywords["thinking"] = "force"
    return keywords


def sampling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add every sampling flag; the names are those of SamplingOptions."""
    for option in reversed(_SAMPLING):
        command = option(command)
    return command


_QUIET = click.option(
    "is_quiet", "--quiet", "-q", is_flag=True, help="Nothing on stderr but errors."
)
_VERBOSE = click.option(
    "is_verbose", "--verbose", "-v", is_flag=True, help="A line on stderr for each step."
)


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --quiet and --verbose, the same in every long command."""
    return _QUIET(_VERBOSE(command))


def refuse_both(*, is_quiet: bool, is_verbose: bool) -> None:
    """Raise UsageError where somebody asks for less and for more."""
    if is_quiet and is_verbose:
        raise UsageError("--quiet and --verbose exclude each other. Leave one out.")
