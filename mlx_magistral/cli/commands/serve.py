"""``mlx-magistral serve``: the model behind OpenAI's and Anthropic's protocols."""

import logging
import signal
import webbrowser
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from mlx_magistral.cli.addresses import is_loopback, reachable_urls
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option, memory_options, speed_options, take_memory
from mlx_magistral.cli.ranks import server_ranks_options
from mlx_magistral.cli.structure import mcp_options
from mlx_magistral.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    import socket

    from starlette.routing import BaseRoute

    from mlx_magistral.cluster.reader import LedReader
    from mlx_magistral.engine.magistral import Magistral
    from mlx_magistral.server.backend import Backend

_KEY_VARIABLE = "MLX_MAGISTRAL_API_KEY"


@click.command()
@click.argument(
    "model", required=False, envvar="MLX_MAGISTRAL_MODEL", shell_complete=complete_model
)
@click.option(
    "adapters",
    "--adapter",
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="Serve MODEL:ADAPTER too, for a folder named ADAPTER; repeatable.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--api-key", envvar=_KEY_VARIABLE, show_envvar=True, help="Ask every client for it.")
@click.option(
    "key_file",
    "--api-key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with that key alone, which keeps it out of the list of processes.",
)
@click.option("--allow-origin", multiple=True, help="A web page's origin, or *; repeatable.")
@click.option(
    "--allow-host", multiple=True, help="A name clients connect by; *.NAME for all in it."
)
@click.option("--no-key", is_flag=True, help="Listen beyond this machine without an API key.")
@click.option("--max-batch", type=click.IntRange(1), default=8, show_default=True)
@click.option("--max-queue", type=click.IntRange(0), default=64, show_default=True)
@click.option("--request-timeout", type=float, default=3600.0, show_default=True, help="Seconds.")
@click.option("--drain", type=float, default=30.0, show_default=True, help="Seconds, on SIGTERM.")
@click.option("--idle-unload", type=float, help="Give the memory back after so many idle seconds.")
@click.option("is_opened", "--open", is_flag=True, help="Open the chat page in a browser.")
@click.option("is_verbose", "--verbose", "-v", is_flag=True, help="A line a request, no prompts.")
@mcp_options
@speed_options
@memory_options
@debug_option
@server_ranks_options
def command(
    model: str | None, host: str, port: int, reader: "LedReader | None", **options: Any
) -> int:
    """Serve MODEL to OpenAI and Anthropic clients of this machine, or of others by --host.

    \b
      mlx-magistral serve magistral-4bit
      mlx-magistral connect
    """
    memory = take_memory(options)
    adapters, draft = options.pop("adapters"), options.pop("draft")
    options["api_key"] = _key(options["api_key"], options.pop("key_file"))
    _require_key(host, has_one=bool(options["api_key"] or options["no_key"]))
    origins = _origins(options["allow_origin"], has_key=bool(options["api_key"]))
    try:
        from mlx_magistral.server.app import make_app
        from mlx_magistral.server.batching import make_backend
        from mlx_magistral.server.guard import Rules
        from mlx_magistral.server.uvicorn_server import DrainingServer
    except ModuleNotFoundError as error:
        raise MissingExtraError("Servers", "serve") from error
    from mlx_magistral.cli.fetching import fetch_named
    from mlx_magistral.engine.magistral import Magistral
    from mlx_magistral.hub.resolve import default_model

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    if options.pop("is_verbose"):
        logging.getLogger("mlx_magistral.server").setLevel(logging.INFO)
    listener = _listener(host, port, reader)
    click.get_current_context().call_on_close(listener.close)
    must_fit = reader is None and not memory["force"]
    fetch_named(model or default_model(), memory["tokenizer"], must_fit=must_fit)
    # A chat's next turn brings the whole conversation: only what is new of it is computed.
    loaded = Magistral.load(model, **memory, variants=adapters, draft=draft, reader=reader)
    if loaded.memory.note is not None:
        click.echo(loaded.memory.note, err=True)
    backend = make_backend(
        loaded,
        max_batch=options["max_batch"],
        max_queue=options["max_queue"],
        idle_unload_s=options["idle_unload"],
        speculate=options["speculate"],
    )
    if reader is not None:
        backend = _led(backend, reader)
    tools = _tools(loaded, options["mcp"], options["mcp_tools"])
    rules = Rules(options["api_key"], origins, options["allow_host"])
    app = make_app(backend, rules, request_timeout_s=options["request_timeout"], tools=tools)
    server = DrainingServer(app, backend, options["drain"])
    urls = reachable_urls(host, listener.getsockname()[1])
    click.echo(_where(urls, backend.model_name, backend.context_tokens))
    if options["is_opened"]:
        _open_later(urls[0])
    if reader is not None:
        reader.leader.say_ready()
    try:
        server.run(sockets=[listener])
    finally:
        backend.close(0.0)
    return 130 if server.signal == signal.SIGINT else 0


def _tools(
    model: "Magistral", names: tuple[str, ...], patterns: tuple[str, ...]
) -> "list[BaseRoute]":
    """The routes of the servers' tools, for the chat page; none without servers."""
    if not names or names == ("off",):
        return []
    from mlx_magistral.mcp.servers import McpServers
    from mlx_magistral.server.tools import tool_routes
    from mlx_magistral.text.tool_costs import tool_tokens

    servers = McpServers(names, patterns=patterns)
    click.get_current_context().call_on_close(servers.close)
    return tool_routes(servers.tools, lambda tool: tool_tokens(model.tokenizer, [tool]))


def _listener(host: str, port: int, reader: "LedReader | None") -> "socket.socket":
    """The socket to serve at: the launcher's, where there is one, which keeps the port."""
    from mlx_magistral.server.uvicorn_server import bind

    given = None if reader is None else reader.leader.server()
    return bind(host, port) if given is None else given


def _led(backend: "Backend", reader: "LedReader") -> "Backend":
    """The backend, which ends all of its replies where a machine is lost."""
    from mlx_magistral.server.led_backend import LedBackend

    led = LedBackend(backend, reader.leader)
    reader.leader.on_lost = led.lose
    return led


def _key(given: str | None, file: Path | None) -> str | None:
    """The key from its file where there is one, else as it was given."""
    if file is None:
        return given
    try:
        key = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read as a key ({error}).") from error
    if not key:
        raise UsageError(f"{file} holds no key. Write one line into it.")
    return key


def _open_later(url: str) -> None:
    """Open the page: it connects to a socket that listens already, and waits for the server."""
    Thread(target=_open_page, args=(url,), daemon=True).start()


def _open_page(url: str) -> None:
    if not webbrowser.open(url):
        click.echo("No browser was found here: open the address above in one.", err=True)


def _require_key(host: str, *, has_one: bool) -> None:
    if not is_loopback(host) and not has_one:
        raise UsageError(f"--host {host} is open to others: set --api-key, or say --no-key.")


def _origins(given: tuple[str, ...], *, has_key: bool) -> tuple[str, ...]:
    """The origins as browsers write them; warns where any page may ask without a key."""
    for origin in given:
        parts = urlsplit(origin)
        if origin != "*" and (not parts.netloc or parts.path not in ("", "/") or parts.query):
            raise UsageError(
                f"--allow-origin {origin!r} is no origin. Give one as http://localhost:3000, or *."
            )
    if "*" in given and not has_key:
        click.echo(
            "Any web page that is open in a browser here can use this model: --allow-origin '*' "
            "is set and no --api-key.",
            err=True,
        )
    return tuple(origin.rstrip("/") for origin in given)


def _where(urls: list[str], name: str, context_tokens: int) -> str:
    """The page first, for a person; then what clients are told."""
    pages = "\n           ".join(f"{url}/" for url in urls)
    return (
        f"Chat page  {pages}\n"
        f"API        {urls[0]}/v1 (OpenAI), {urls[0]} (Anthropic)\n"
        f"Model      {name}, context {context_tokens:,} tokens\n"
        "mlx-magistral connect prints what to set in a client. Ctrl-C ends the server."
    )
