"""``mlx-magistral fit``: what runs in this machine's memory, before anything is downloaded."""

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from mlx_magistral.cli.layout import TABLE_COLUMNS, echo, echo_json, window_columns
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option
from mlx_magistral.errors import UsageError

if TYPE_CHECKING:
    from mlx_magistral.memory.machine import Machine
    from mlx_magistral.memory.plan import MemoryPlan
    from mlx_magistral.memory.recommend import Choice
    from mlx_magistral.model.config import ModelConfig

_WEIGHT_BITS = (3, 4, 5, 6, 8, 16)
_CONTEXTS = (8192, 16384, 40960, 131072)
_KV_BITS = (16, 8, 4)


class _Row(NamedTuple):
    """One combination, and why it does not fit."""

    weights: str
    plan: "MemoryPlan"
    reason: str | None


@click.command()
@click.argument("model", required=False, shell_complete=complete_model)
@click.option(
    "--bits",
    type=click.Choice([str(bits) for bits in _WEIGHT_BITS]),
    multiple=True,
    help="Plan MODEL's shape at these weight bits; repeatable.  [default: as stored]",
)
@click.option("--memory", help="Plan for a Mac with this memory, such as 32GB, not this machine.")
@click.option("--chip", help="Its chip, such as 'M4 Pro', for the tokens a second.")
@click.option(
    "--context",
    type=click.IntRange(min=1),
    multiple=True,
    help="Tokens; repeatable. With this or --kv-bits: every combination, in a table.",
)
@click.option(
    "--kv-bits",
    type=click.Choice([str(bits) for bits in _KV_BITS]),
    multiple=True,
    help="KV cache bits; repeatable.  [default: 16, 8 and 4]",
)
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@debug_option
def command(
    model: str | None,
    bits: tuple[str, ...],
    memory: str | None,
    chip: str | None,
    context: tuple[int, ...],
    kv_bits: tuple[str, ...],
    as_json: bool,
) -> None:
    """What of a model fits a machine, and what is best for it. MODEL is a folder, a hub id or nano.

    Without MODEL: Magistral Small in all that convert makes of it. A hub id is measured by its
    headers and not downloaded. Context is prompt and reply together.

    \b
      mlx-magistral fit
      mlx-magistral fit --memory 16GB --chip M4
      mlx-magistral fit mistralai/Magistral-Small-2507 --bits 4 --context 40960
      mlx-magistral fit magistral-4bit --kv-bits 8 --json
    """
    from mlx_magistral.cli.recommending import (
        ORIGINAL,
        as_object,
        echo_choices,
        echo_recommendation,
    )
    from mlx_magistral.memory.chips import bandwidth
    from mlx_magistral.memory.machine import simulated_mac, this_machine
    from mlx_magistral.memory.recommend import recommend

    if chip is not None and bandwidth(chip) is None:
        raise UsageError(f"--chip is {chip!r}, whose bandwidth is not known here. Leave it out.")
    machine = this_machine() if memory is None else simulated_mac(_memory_bytes(memory))
    config, among, shown = _choices(model, tuple(map(int, bits)))
    ceiling = config.max_position_embeddings
    contexts = context or tuple(each for each in _CONTEXTS if ceiling is None or each <= ceiling)
    if ceiling is not None and max(contexts, default=0) > ceiling:
        raise UsageError(f"The model's context ends at {ceiling:,} tokens, not {max(contexts):,}.")
    rows = _rows(
        config, shown, machine, contexts or (ceiling or 0,), tuple(map(int, kv_bits)) or _KV_BITS
    )
    found = recommend(config, machine, among, chip)
    if as_json:
        echo_json({**_as_object(machine, rows), "recommendation": as_object(found)})
        return
    echo(f"{machine.name}: {machine.limit_bytes / 1e9:.1f} GB for MLX. Sizes in GB.")
    if context or kv_bits:
        _print(_without_hopeless(rows))
        echo(f"The total includes a reserve of {rows[0].plan.reserve_bytes / 1e9:.2f}.")
    else:
        echo_choices(config, machine, shown)
    echo_recommendation(found, machine, model or ORIGINAL)


def _choices(
    model: str | None, bits: tuple[int, ...]
) -> tuple["ModelConfig", list["Choice"], list["Choice"]]:
    """The model's shape, what may be recommended, best first, and what is shown."""
    from mlx_magistral.hub.examine import examine
    from mlx_magistral.memory.known import MAGISTRAL_SMALL
    from mlx_magistral.memory.recommend import choices, stored_choice, uniform_choice

    if model is None:
        config = MAGISTRAL_SMALL
    else:
        checkpoint = examine(model).checkpoint
        config = checkpoint.config
        if not bits:
            stored = [stored_choice(config, checkpoint.nbytes)]
            return config, stored, stored
    if bits:
        asked = [uniform_choice(config, each) for each in sorted(bits, reverse=True)]
        return config, asked, asked
    best = choices(config)
    return config, best, [uniform_choice(config, 16), *best]


def _rows(
    config: "ModelConfig",
    weights: list["Choice"],
    machine: "Machine",
    contexts: tuple[int, ...],
    kv_bits: tuple[int, ...],
) -> list[_Row]:
    from mlx_magistral.memory.plan import longest_context, make_plan

    rows = []
    for name, nbytes in ((choice.name, choice.nbytes) for choice in weights):
        for tokens in contexts:
            for bits in kv_bits:
                plan = make_plan(config, nbytes, machine, tokens, kv_bits=bits)
                longest = longest_context(config, nbytes, machine, bits, tokens)
                rows.append(_Row(name, plan, None if plan.fits else _reason(plan, longest)))
    return rows


def _reason(plan: "MemoryPlan", longest: int) -> str:
    over = f"{-plan.free_bytes / 1e9:.2f} GB too much"
    if plan.weights_alone_exceed:
        return f"{over}: the weights alone do not fit"
    return f"{over}: {longest:,} tokens would fit" if longest else f"{over}: no context fits"


def _without_hopeless(rows: list[_Row]) -> list[_Row]:
    """One row says for every context that the weights alone are too much."""
    hopeless: set[str] = set()
    left = []
    for row in rows:
        if row.weights not in hopeless:
            left.append(row)
        if row.plan.weights_alone_exceed:
            hopeless.add(row.weights)
    return left


def _print(rows: list[_Row]) -> None:
    """A table, or in a narrow window a list under each of the weights."""
    columns = window_columns()
    is_narrow = columns is not None and columns < TABLE_COLUMNS
    above = ""
    if not is_narrow:
        click.echo("weights          context  KV bits      KV  workspace   total")
    for name, plan, reason in rows:
        total = (plan.peak_bytes + plan.reserve_bytes) / 1e9
        fits = f"no, {reason}" if reason else f"fits, chunks of {plan.chunk_tokens}"
        if not is_narrow:
            click.echo(
                f"{name:9} {plan.weight_bytes / 1e9:6.2f}{plan.context_tokens:9,}{plan.kv_bits:9}"
                f"{plan.kv_bytes / 1e9:8.2f}{plan.workspace_bytes / 1e9:11.2f}{total:8.2f}  {fits}"
            )
            continue
        if name != above:
            echo(f"{name}, {plan.weight_bytes / 1e9:.2f}:")
        above = name
        echo(f"  {plan.context_tokens:,} tokens, {plan.kv_bits}-bit KV: {total:.2f}, {fits}", 4)


def _as_object(machine: "Machine", rows: list[_Row]) -> dict[str, Any]:
    return {
        "machine": machine.name,
        "backend": machine.backend.value,
        "limit_bytes": machine.limit_bytes,
        "plans": [
            {
                "weights": name,
                "context_tokens": plan.context_tokens,
                "kv_bits": plan.kv_bits,
                "chunk_tokens": plan.chunk_tokens,
                "weight_bytes": plan.weight_bytes,
                "kv_bytes": plan.kv_bytes,
                "workspace_bytes": plan.workspace_bytes,
                "reserve_bytes": plan.reserve_bytes,
                "fits": plan.fits,
                "reason": reason,
            }
            for name, plan, reason in rows
        ],
    }


def _memory_bytes(text: str) -> int:
    """``32GB`` or ``32``; a Mac's memory is sold in powers of two."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:g|gb|gib)?", text.strip().lower())
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"--memory is {text!r}; give gigabytes, such as 32GB.")
    return int(float(match[1]) * (1 << 30))
