"""``--ranks``, ``--hosts`` and ``--split``: a command that runs on several machines at once.

The command is started again as rank 0, with the others beside it; that process has what the
launcher tells it in its environment, and leads.
"""

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from mlx_magistral.cluster.hosts import Hosts
    from mlx_magistral.cluster.leader import Leader

_RANKS = (
    click.option(
        "ranks",
        "--ranks",
        type=click.IntRange(2),
        metavar="N",
        help="Divide the model among N processes on this machine, for trying out.",
    ),
    click.option(
        "hosts",
        "--hosts",
        metavar="FILE",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Divide it among the Macs of mlx.launch's hostfile, this one first.",
    ),
    click.option(
        "split",
        "--split",
        type=click.Choice(["heads", "layers"]),
        help="What is divided: heads, for speed, or layers, for any number of Macs and links "
        "that are slow.  [default: heads]",
    ),
)


Command = Callable[..., Any]
# Starts a command on hosts; it is given the command's options, and returns the exit code.
Launch = Callable[["Hosts", dict[str, Any]], int]


def ranks_options(command: Command) -> Command:
    """Add the flags, and run the command as rank 0 where they are given.

    The command gets ``reader``, a keyword of ``Magistral.load``, None for one process.
    """
    return _with_ranks(command, _launch)


def server_ranks_options(command: Command) -> Command:
    """The same for a server, whose port is held while the ring is formed again."""
    return _with_ranks(command, _launch_server)


def _with_ranks(command: Command, launch: Launch) -> Command:
    @functools.wraps(command)
    def run(**options: Any) -> Any:
        ranks, hosts, split = (options.pop(name) for name in ("ranks", "hosts", "split"))
        if split == "layers" and options.get("draft"):
            raise UsageError("--draft guesses from whole layers: leave it or --split layers out.")
        if ranks is not None and hosts is not None:
            raise UsageError("--ranks is for this machine and --hosts for several. Leave one out.")
        leader = lead()
        if leader is not None:
            return _command_of(leader, split or "heads", command, options)
        if ranks is not None or hosts is not None:
            return launch(_hosts(ranks, hosts), options)
        if split is not None:
            raise UsageError("--split says what --ranks or --hosts divide: give one of them too.")
        return command(**options, reader=None)

    for option in reversed(_RANKS):
        run = option(run)
    return run


def _hosts(ranks: int | None, file: Path | None) -> "Hosts":
    from mlx_magistral.cluster.hosts import local_hosts, read_hostfile

    if file is not None:
        return read_hostfile(file)
    assert ranks is not None
    return local_hosts(ranks)


def _launch(hosts: "Hosts", options: dict[str, Any]) -> int:
    return run_program(hosts)


def run_program(hosts: "Hosts") -> int:
    """This command line on all hosts; rank 0's exit code. Raises ClusterError."""
    from mlx_magistral.cluster.launch import run

    return run(hosts, _program())


def _launch_server(hosts: "Hosts", options: dict[str, Any]) -> int:
    try:
        from mlx_magistral.server.api_errors import ApiError, is_anthropic
        from mlx_magistral.server.uvicorn_server import bind
    except ModuleNotFoundError as error:
        raise MissingExtraError("Servers", "serve") from error
    from mlx_magistral.cluster.serving import serve

    def body(path: str, text: str) -> bytes:
        error = ApiError(503, text, "machine_lost")
        content = error.anthropic_body() if is_anthropic(path) else error.openai_body()
        return json.dumps(content).encode()

    with bind(options["host"], options["port"]) as listener:
        return serve(hosts, _program(), listener, body)


def _program() -> list[str]:
    """This command line as what python runs."""
    return ["-P", "-m", "mlx_magistral", *sys.argv[1:]]


def lead() -> "Leader | None":
    """The leader that this process is, where it was started as rank 0.

    A follower of mlx.launch's follows here, and ends.
    """
    from mlx_magistral.cluster.call import Call

    call = Call.take()
    if call is not None:
        from mlx_magistral.cluster.forming import form

        return form(call)
    if "MLX_RANK" not in os.environ:
        return None
    from mlx_magistral.cluster.launched import enter, is_launched

    if not is_launched():
        return None
    leader = enter()
    if leader is None:
        sys.exit(0)
    return leader


def _command_of(
    leader: "Leader", split: str, command: Callable[..., Any], options: dict[str, Any]
) -> Any:
    from mlx_magistral.cluster.call import is_link_error
    from mlx_magistral.cluster.reader import LedReader
    from mlx_magistral.cluster.share import Split

    if leader.call is None and options.get("prompt") is not None:
        # mlx.launch never ends standard input, so a prompt that is given is all of it.
        sys.stdin = open(os.devnull)
    try:
        return command(**options, reader=LedReader(leader, Split(split)))
    except RuntimeError as error:
        if is_link_error(error):
            leader.wait_for_loss()  # which names the rank, and ends this process
        raise
