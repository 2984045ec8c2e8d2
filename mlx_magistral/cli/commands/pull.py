"""``mlx-magistral pull``: a model from the hub, after a look at disk and memory."""

import json

import click

from mlx_magistral.cli.layout import echo
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option, output_options, refuse_both
from mlx_magistral.errors import UsageError

_ORIGINAL = "mistralai/Magistral-Small-2507"
_SUGGESTED_BITS = (8, 6, 4)


@click.command()
@click.argument("model", required=False, shell_complete=complete_model)
@click.option("--force", is_flag=True, help="Download although disk or memory look too small.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@output_options
@debug_option
def command(
    model: str | None, force: bool, as_json: bool, is_quiet: bool, is_verbose: bool
) -> None:
    """Download MODEL, a hub id, into the hub's cache; without MODEL say what suits this machine.

    One weight format is taken, checked by hash. Run the same command again after a cut: it goes
    on where it stopped. Access tokens are those of `hf auth login` or HF_TOKEN.

    \b
      mlx-magistral pull
      mlx-magistral pull mistralai/Magistral-Small-2507
      mlx-magistral pull someone/magistral-4bit --force
    """
    if model is None:
        _suggest(as_json)
        return
    from mlx_magistral.cli.fetching import fetch_model

    refuse_both(is_quiet=is_quiet, is_verbose=is_verbose)
    is_shown = not (is_quiet or as_json)
    folder, nbytes = fetch_model(
        model, force=force, is_shown=is_shown, is_verbose=is_verbose and is_shown
    )
    if as_json:
        click.echo(json.dumps({"model": model, "folder": str(folder), "fetched_bytes": nbytes}))
    else:
        click.echo(folder)


def _suggest(as_json: bool) -> None:
    from mlx_magistral.memory.known import MAGISTRAL_SMALL
    from mlx_magistral.memory.machine import this_machine
    from mlx_magistral.memory.plan import longest_context, make_plan
    from mlx_magistral.memory.sizes import weight_bytes
    from mlx_magistral.model.config import DEFAULT_CONTEXT

    machine = this_machine()
    rows = []
    for bits in _SUGGESTED_BITS:
        nbytes = weight_bytes(MAGISTRAL_SMALL, bits)
        plan = make_plan(MAGISTRAL_SMALL, nbytes, machine, DEFAULT_CONTEXT)
        longest = longest_context(MAGISTRAL_SMALL, nbytes, machine, plan.kv_bits, DEFAULT_CONTEXT)
        rows.append({"bits": bits, "weight_bytes": nbytes, "context_tokens": longest})
    best = next((row for row in rows if row["context_tokens"] == DEFAULT_CONTEXT), None)
    best = best or max(rows, key=lambda row: row["context_tokens"])
    suggested = best["bits"] if best["context_tokens"] else None
    if as_json:
        limit = machine.limit_bytes
        click.echo(json.dumps({"limit_bytes": limit, "choices": rows, "suggested_bits": suggested}))
        return
    echo(f"{machine.name}: {machine.limit_bytes / 1e9:.1f} GB for MLX. Magistral Small:")
    for row in rows:
        size, tokens = row["weight_bytes"] / 1e9, row["context_tokens"]
        fits = f"up to {tokens:,} tokens" if tokens else "does not fit"
        echo(f"  {row['bits']}-bit  {size:5.1f} GB  {fits}")
    if suggested is None:
        raise UsageError(
            "None fits this machine. nano runs anywhere: mlx-magistral generate -m nano"
        )
    echo(
        f"Suggested: {suggested} bits. Pull a conversion of that size by its name, or make it "
        "from the original (47 GB to download, once):"
    )
    # A command stays on one line, whatever the window: it is there to be copied.
    name = f"magistral-{suggested}bit"
    click.echo(f"  mlx-magistral convert {_ORIGINAL} {name} --bits {suggested}")
