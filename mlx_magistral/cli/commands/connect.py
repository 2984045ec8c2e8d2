"""``mlx-magistral connect``: the settings that connect a client to a running server."""

import click

from mlx_magistral.cli.clients import CLIENTS
from mlx_magistral.cli.options import debug_option
from mlx_magistral.errors import UsageError


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in CLIENTS if name.startswith(incomplete)]


@click.command()
@click.argument("name", required=False, shell_complete=_complete)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the server listens.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--api-key", help="The server's key, printed where the client wants it.")
@click.option("--model", "-m", default="magistral", show_default=True, help="Name to send.")
@debug_option
def command(name: str | None, host: str, port: int, api_key: str | None, model: str) -> None:
    """Print what to set in the client NAME; without NAME, the clients there are.

    The server answers whatever model a client names, so any name will do.

    \b
      mlx-magistral connect openai
      mlx-magistral connect claude-code --port 9000
    """
    if name is None:
        click.echo("\n".join(CLIENTS))
        return
    if name not in CLIENTS:
        raise UsageError(f"There are no settings for {name!r}. Known are {', '.join(CLIENTS)}.")
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    click.echo(CLIENTS[name].format(url=url, key=api_key or "none", model=model))
