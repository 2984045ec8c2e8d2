"""What fits a machine, a line a choice, and the one recommendation that it ends in."""

import shlex
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.cli.layout import echo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlx_magistral.memory.machine import Machine
    from mlx_magistral.memory.recommend import Choice, Recommendation
    from mlx_magistral.model.config import ModelConfig

ORIGINAL = "mistralai/Magistral-Small-2507"


def echo_choices(config: "ModelConfig", machine: "Machine", shown: "Sequence[Choice]") -> None:
    """Size and longest contexts of each, in words that a narrow window can break."""
    from mlx_magistral.memory.plan import automatic_kv_bits, longest_context
    from mlx_magistral.model.config import DEFAULT_CONTEXT

    ceiling = config.max_position_embeddings or DEFAULT_CONTEXT
    for choice in shown:
        contexts = [
            (bits, longest_context(config, choice.nbytes, machine, bits, ceiling))
            for bits in automatic_kv_bits(config)
        ]
        fitting = [f"{tokens:,} tokens in {bits}-bit KV" for bits, tokens in contexts if tokens]
        text = ", ".join(fitting) or "does not fit"
        echo(f"  {choice.name:9} {choice.nbytes / 1e9:6.2f}  {text}", 4)


def echo_recommendation(found: "Recommendation | None", machine: "Machine", source: str) -> None:
    """The recommendation in plain words, with what to type; ``source`` is what to convert."""
    if found is None:
        echo(
            f"None of these fits {machine.name}. nano runs anywhere: mlx-magistral generate -m nano"
        )
        return
    choice, plan = found.choice, found.plan
    echo(
        f"Recommended: {choice.name}, {choice.nbytes / 1e9:.2f} GB, with {plan.kv_bits}-bit KV and "
        f"up to {plan.context_tokens:,} tokens of context{_option(plan.context_tokens)}."
    )
    if found.tokens_per_second is not None:
        echo(
            f"At most {found.tokens_per_second:.0f} tokens a second: arithmetic, the chip's "
            "bandwidth over the size of the weights."
        )
    if found.wired_limit_mb is not None:
        _echo_limit(found, machine)
    if choice.options:
        echo("Pull a conversion of that kind by its name, or make it (47 GB to download, once):")
        # A command stays on one line, whatever the window: it is there to be copied.
        name = conversion_name(choice)
        click.echo(f"  mlx-magistral convert {source} {name} {choice.options}")
    else:
        echo("To talk to it:")
        click.echo(f"  mlx-magistral chat -m {shlex.quote(source)}")


def conversion_name(choice: "Choice") -> str:
    """The folder that a recommended conversion is written to."""
    return f"magistral-{choice.name.replace(' bits', 'bit')}"


def as_object(found: "Recommendation | None") -> dict[str, Any] | None:
    """The same for programs."""
    if found is None:
        return None
    return {
        "weights": found.choice.name,
        "bits_per_weight": found.choice.bits_per_weight,
        "weight_bytes": found.choice.nbytes,
        "convert_options": found.choice.options,
        "kv_bits": found.plan.kv_bits,
        "context_tokens": found.plan.context_tokens,
        "tokens_per_second_at_most": found.tokens_per_second,
        "wired_limit_mb": found.wired_limit_mb,
        "left_for_the_system_bytes": found.system_bytes if found.wired_limit_mb else None,
    }


def _option(tokens: int) -> str:
    """What to say to programs whose own default is longer."""
    from mlx_magistral.model.config import DEFAULT_CONTEXT

    return f" (--context {tokens})" if tokens < DEFAULT_CONTEXT else ""


def _echo_limit(found: "Recommendation", machine: "Machine") -> None:
    echo(
        f"macOS gives MLX {machine.limit_bytes / 1e9:.1f} GB here. Raise that first; it lasts "
        "until the next restart:"
    )
    click.echo(f"  sudo sysctl iogpu.wired_limit_mb={found.wired_limit_mb}")
    echo(f"That leaves {found.system_bytes / 1e9:.1f} GB for the system and all other programs.")
    if found.is_risky:
        echo(
            "warning: that is over 80 % of the memory. Close what you can; a Mac that has too "
            "little for itself stalls."
        )
