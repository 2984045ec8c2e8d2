"""``mlx-magistral cache``: what is kept of earlier prompts, and how to be rid of it."""

import time
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.options import debug_option

if TYPE_CHECKING:
    from mlx_magistral.memory.prefixes.disk import PrefixDisk
    from mlx_magistral.memory.prefixes.index import DiskEntry


@click.command()
@click.argument("action", type=click.Choice(["list", "clear"]))
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@debug_option
def command(action: str, as_json: bool) -> None:
    """List or clear the KV prefixes of earlier prompts on this disk.

    They hold the prompts themselves, and only you can read them; --no-reuse-prefixes, or `config
    set reuse_prefixes false`, keeps none. The folder is MLX_MAGISTRAL_CACHE, else
    ~/.cache/mlx-magistral/prefixes.

    \b
      mlx-magistral cache list
      mlx-magistral cache clear
    """
    from mlx_magistral.memory.prefixes.disk import PrefixDisk, default_folder

    disk = PrefixDisk(default_folder())
    if action == "clear":
        freed = disk.clear()
        removed = {"folder": str(disk.folder), "freed_bytes": freed}
        text = f"{disk.folder}: removed {freed / 1e6:.1f} MB."
        if as_json:
            echo_json(removed)
        else:
            click.echo(text)
        return
    entries = disk.entries()
    if as_json:
        echo_json(_as_dict(disk, entries))
        return
    for entry in reversed(entries):
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        echo(
            f"{entry.name[:12]}  model {entry.fingerprint[:8]}  {len(entry.tokens):6,} tokens  "
            f"{entry.nbytes / 1e6:9.1f} MB  used {used}" + ("  pinned" if entry.is_pinned else ""),
            2,
        )
    total = sum(entry.nbytes for entry in entries) / 1e6
    echo(
        f"{disk.folder}: {len(entries)} prefixes, {total:.1f} of {disk.budget_bytes / 1e6:.0f} MB."
    )


def _as_dict(disk: "PrefixDisk", entries: list["DiskEntry"]) -> dict[str, Any]:
    """Newest first; ``used`` in seconds since 1970."""
    prefixes = [
        {
            "name": entry.name,
            "model": entry.fingerprint,
            "tokens": len(entry.tokens),
            "nbytes": entry.nbytes,
            "used": entry.used,
            "is_pinned": entry.is_pinned,
        }
        for entry in reversed(entries)
    ]
    return {
        "folder": str(disk.folder),
        "budget_bytes": disk.budget_bytes,
        "prefixes": prefixes,
    }
