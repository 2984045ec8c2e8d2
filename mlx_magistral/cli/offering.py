"""``pull`` without a name: which conversions fit this machine, shown, and one of them chosen.

The hub is asked in hub/conversions.py; what no conversion needs, the machine's own recommendation,
is recommending.py's.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.cli.layout import echo
from mlx_magistral.cli.recommending import (
    ORIGINAL,
    as_object,
    conversion_name,
    echo_choices,
    echo_recommendation,
)
from mlx_magistral.errors import HubError
from mlx_magistral.hub.conversions import BASES, Conversion, PassedOver, find_conversions
from mlx_magistral.memory.known import MAGISTRAL_SMALL
from mlx_magistral.memory.machine import this_machine
from mlx_magistral.memory.recommend import choices, recommend, stored_choice
from mlx_magistral.model.stored_form import stored_as

if TYPE_CHECKING:
    from mlx_magistral.memory.machine import Machine
    from mlx_magistral.memory.recommend import Recommendation


@dataclass(frozen=True)
class Offer:
    """A conversion that fits, with the context that does."""

    conversion: Conversion
    found: "Recommendation"

    def describe(self) -> str:
        """What is known of it, a line that may be broken between words."""
        it, plan = self.conversion, self.found.plan
        return (
            f"{it.checkpoint.nbytes / 1e9:.2f} GB, {stored_as(it.checkpoint)}; made by "
            f"{it.made_by}, {it.downloads:,} downloads; {it.tokenizer}; up to "
            f"{plan.context_tokens:,} tokens of context in {plan.kv_bits}-bit KV"
        )

    def as_object(self) -> dict[str, Any]:
        """The same for programs."""
        it, plan = self.conversion, self.found.plan
        return {
            "name": it.name,
            "base_model": it.base,
            "made_by": it.made_by,
            "downloads": it.downloads,
            "weight_bytes": it.checkpoint.nbytes,
            "stored_as": stored_as(it.checkpoint),
            "tokenizer": it.tokenizer,
            "kv_bits": plan.kv_bits,
            "context_tokens": plan.context_tokens,
        }


@dataclass(frozen=True)
class Offers:
    """All that ``pull`` can say of this machine; ``problem`` is why the hub could not be asked."""

    machine: "Machine"
    recommendation: "Recommendation | None"
    offers: tuple[Offer, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    problem: str | None = None

    def as_object(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "limit_bytes": self.machine.limit_bytes,
            "recommendation": as_object(self.recommendation),
            "offers": [each.as_object() for each in self.offers],
            "passed_over": [
                {"name": each.name, "reason": each.reason} for each in self.passed_over
            ],
            "problem": self.problem,
        }


def find_offers() -> Offers:
    """Ask the hub what fits this machine; a hub that cannot be asked is a ``problem``."""
    machine = this_machine()
    best = recommend(MAGISTRAL_SMALL, machine, choices(MAGISTRAL_SMALL))
    try:
        conversions, passed_over = find_conversions()
    except HubError as error:
        return Offers(machine, best, problem=str(error))
    offers = []
    for each in conversions:
        config, nbytes = each.checkpoint.config, each.checkpoint.nbytes
        found = recommend(config, machine, [stored_choice(config, nbytes)])
        if found is not None and found.wired_limit_mb is None:
            offers.append(Offer(each, found))
        else:
            reason = f"its {nbytes / 1e9:.2f} GB do not fit {machine.name} with enough context"
            passed_over.append(PassedOver(each.name, reason))
    return Offers(machine, best, tuple(offers), tuple(passed_over))


def echo_offers(found: Offers, *, is_verbose: bool) -> None:
    """A numbered entry for each, and converting it oneself as the last."""
    machine = found.machine
    echo(f"{machine.name}: {machine.limit_bytes / 1e9:.1f} GB for MLX.")
    if found.problem is not None:
        echo_without_hub(found)
        return
    echo("Conversions of Magistral Small at the hub that fit, newest and most downloaded first:")
    for number, offer in enumerate(found.offers, 1):
        click.echo(f"  {number}  {offer.conversion.name}")
        echo(f"     {offer.describe()}", 5)
    if not found.offers:
        echo("  none")
    click.echo(f"  {len(found.offers) + 1}  {_converting(found.recommendation)}")
    if found.passed_over and not is_verbose:
        count = len(found.passed_over)
        echo(f"{count} more {'is' if count == 1 else 'are'} not offered; --verbose says why.")
    for each in found.passed_over if is_verbose else ():
        echo(f"Not offered: {each.name}: {each.reason}", 2)


def echo_without_hub(found: Offers) -> None:
    """What the machine can take, and what would be asked of the hub."""
    echo(f"The hub was not asked: {found.problem}", err=True)
    echo(
        "With it, this lists the MLX conversions of "
        f"{' and '.join(BASES)} that fit, reads their headers, and downloads the one you choose."
    )
    echo("Magistral Small here, in GB:")
    echo_choices(MAGISTRAL_SMALL, found.machine, choices(MAGISTRAL_SMALL))
    echo_recommendation(found.recommendation, found.machine, ORIGINAL)


def choose(found: Offers) -> str | None:
    """The name that a person at the terminal chooses; None is to convert it oneself.

    Raises click.Abort at Ctrl-C.
    """
    names: list[str | None] = [*(each.conversion.name for each in found.offers)]
    if found.recommendation is not None:
        names.append(None)
    if _can_draw():
        from prompt_toolkit.shortcuts import choice

        options = [(number, name or "convert it yourself") for number, name in enumerate(names)]
        try:
            return names[choice("Arrow or number, then Enter:", options=options, default=0)]
        except (KeyboardInterrupt, EOFError) as error:
            raise click.Abort from error
    number = click.prompt(
        f"Number, 1 to {len(names)}", type=click.IntRange(1, len(names)), default=1, err=True
    )
    return names[number - 1]


def conversion_command(found: "Recommendation") -> list[str]:
    """The arguments of ``convert`` that make what is recommended, in this folder."""
    return [ORIGINAL, conversion_name(found.choice), *found.choice.options.split()]


def _can_draw() -> bool:
    from mlx_magistral.terminal.display import can_redraw

    return can_redraw(sys.stdout)


def _converting(found: "Recommendation | None") -> str:
    if found is None:
        return "Converting it yourself makes none that fits either."
    return (
        f"Convert it yourself: 47 GB to download once, then {found.choice.name}, "
        f"{found.choice.nbytes / 1e9:.2f} GB"
    )
