"""``mlx-magistral pull``: a model from the hub, after a look at disk and memory."""

from pathlib import Path

import click

from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option, output_options, refuse_both
from mlx_magistral.errors import UsageError

_ORIGINAL = "mistralai/Magistral-Small-2507"
_SUGGESTED_BITS = (8, 6, 4)


@click.command()
@click.argument("model", required=False, shell_complete=complete_model)
@click.option("--force", is_flag=True, help="Download although disk or memory look too small.")
@click.option("--verify", is_flag=True, help="Hash every file that is here already.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@output_options
@debug_option
def command(
    model: str | None,
    force: bool,
    verify: bool,
    as_json: bool,
    is_quiet: bool,
    is_verbose: bool,
) -> None:
    """Download MODEL, a hub id, into the hub's cache; without MODEL say what suits this machine.

    What this program does not run is refused before its weights are fetched. One weight format is
    taken, checked by hash. Run the same command again after a cut: it goes on where it stopped. Of
    a model that is here, files that are cut or damaged are fetched again. Access tokens are those
    of `hf auth login` or HF_TOKEN.

    \b
      mlx-magistral pull
      mlx-magistral pull mistralai/Magistral-Small-2507
      mlx-magistral pull someone/magistral-4bit --force
      mlx-magistral pull someone/magistral-4bit --verify
    """
    if model is None:
        _suggest(as_json)
        return
    refuse_both(is_quiet=is_quiet, is_verbose=is_verbose)
    is_shown = not (is_quiet or as_json)
    folder, nbytes = _pull(
        model, force=force, verify=verify, is_shown=is_shown, is_verbose=is_verbose and is_shown
    )
    if as_json:
        echo_json({"model": model, "folder": str(folder), "fetched_bytes": nbytes})
    else:
        click.echo(folder)


def _pull(
    model: str, *, force: bool, verify: bool, is_shown: bool, is_verbose: bool
) -> tuple[Path, int]:
    """The model's folder, and the bytes that were fetched for it."""
    from mlx_magistral.cli.fetching import check_memory, fetch_examined, mend_model
    from mlx_magistral.hub.examine import examine
    from mlx_magistral.hub.resolve import find_local

    if (folder := find_local(model)) is not None:
        nbytes = mend_model(
            model,
            folder,
            has_hashes=verify,
            force=force,
            is_shown=is_shown,
            is_verbose=is_verbose,
        )
        return folder, nbytes
    examined = examine(model)
    check_memory(examined.checkpoint, force)
    pulled = fetch_examined(model, examined, force=force, is_shown=is_shown, is_verbose=is_verbose)
    if examined.no_tokenizer is not None:
        click.echo(examined.no_tokenizer, err=True)
    return pulled


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
        echo_json({"limit_bytes": limit, "choices": rows, "suggested_bits": suggested})
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
