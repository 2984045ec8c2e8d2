"""``mlx-magistral cache``: what is kept of earlier prompts, and how to be rid of it."""

import time

import click

from mlx_magistral.cli.options import debug_option


@click.command()
@click.argument("action", type=click.Choice(["list", "clear"]))
@debug_option
def command(action: str) -> None:
    """List or clear the KV prefixes of earlier prompts on this disk.

    The folder is MLX_MAGISTRAL_CACHE, else ~/.cache/mlx-magistral/prefixes.

    \b
      mlx-magistral cache list
      mlx-magistral cache clear
    """
    from mlx_magistral.memory.prefix_disk import PrefixDisk, default_folder

    disk = PrefixDisk(default_folder())
    if action == "clear":
        click.echo(f"{disk.folder}: removed {disk.clear() / 1e6:.1f} MB.")
        return
    entries = disk.entries()
    for entry in reversed(entries):
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        click.echo(
            f"{entry.name[:12]}  model {entry.fingerprint[:8]}  {len(entry.tokens):6,} tokens  "
            f"{entry.nbytes / 1e6:9.1f} MB  used {used}" + ("  pinned" if entry.is_pinned else "")
        )
    total = sum(entry.nbytes for entry in entries) / 1e6
    click.echo(
        f"{disk.folder}: {len(entries)} prefixes, {total:.1f} of {disk.budget_bytes / 1e6:.0f} MB."
    )
