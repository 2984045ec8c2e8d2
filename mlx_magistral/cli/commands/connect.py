"""``mlx-magistral connect``: a client's settings for a running server, or the client itself."""

from dataclasses import replace

import click

from mlx_magistral.cli.clients import CLIENTS
from mlx_magistral.cli.clients.settings import Server
from mlx_magistral.cli.options import debug_option
from mlx_magistral.errors import MagistralError, UsageError

_USUAL_CONTEXT = 40_960


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    return [name for name in CLIENTS if name.startswith(incomplete)]


@click.command()
@click.argument("name", required=False, shell_complete=_complete)
@click.argument("arguments", nargs=-1)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where the server listens.")
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--api-key", help="The server's key, printed where the client wants it.")
@click.option("--model", "-m", default="magistral", show_default=True, help="Name to send.")
@click.option("is_run", "--run", is_flag=True, help="Start NAME, and a server where none runs.")
@click.option("--serve", "served", help="The model of a server that --run starts.")
@debug_option
def command(
    name: str | None,
    arguments: tuple[str, ...],
    host: str,
    port: int,
    api_key: str | None,
    model: str,
    is_run: bool,
    served: str | None,
) -> int:
    """Print what to set in the client NAME; without NAME, the clients there are.

    The server answers whatever model a client names, so any name will do. With --run the client is
    started with these settings in a profile of its own, and your own configuration of it is left
    alone; what follows -- is passed on to it.

    \b
      mlx-magistral connect openai
      mlx-magistral connect claude-code --port 9000
      mlx-magistral connect codex --run -- exec "What is in this folder?"
    """
    if name is None:
        click.echo("\n".join(CLIENTS))
        return 0
    if name not in CLIENTS:
        raise UsageError(f"There are no settings for {name!r}. Known are {', '.join(CLIENTS)}.")
    if arguments and not is_run:
        raise UsageError(f"{arguments[0]!r} would be for the client: add --run.")
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}"
    key = api_key or "none"
    if is_run:
        flags = [*([served] if served else []), "--host", host, "--port", str(port)]
        flags += ["--api-key", api_key] if api_key else []
        return _run(name, arguments, Server(url, key, model, 0), flags)
    from mlx_magistral.cli.client_run import context_of

    try:
        context = context_of(url, key) or _USUAL_CONTEXT
    except MagistralError:
        context = _USUAL_CONTEXT
    click.echo(Server(url, key, model, context).fill(CLIENTS[name].text))
    return 0


def _run(name: str, arguments: tuple[str, ...], server: Server, flags: list[str]) -> int:
    """The client's exit code; ``flags`` are those of a server that has to be started."""
    from mlx_magistral.cli.client_run import context_of, own_server, require_program, run_client

    settings = CLIENTS[name]
    if not settings.command:
        started = [each for each in CLIENTS if CLIENTS[each].command]
        raise UsageError(f"{name} is no program to start. Those are {', '.join(started)}.")
    require_program(name, settings)
    context = context_of(server.url, server.key)
    if context is not None:
        return run_client(name, settings, replace(server, context_tokens=context), arguments)
    click.echo(
        f"No server answers at {server.url}: starting one for as long as {name} runs.", err=True
    )
    with own_server(server.url, server.key, flags) as found:
        return run_client(name, settings, replace(server, context_tokens=found), arguments)
