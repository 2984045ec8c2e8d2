"""``--ranks``, ``--hosts`` and ``--split``: a command that runs on several machines at once.

The command is started again as rank 0, with the others beside it; that process has what the
launcher tells it in its environment, and leads.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.errors import UsageError

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
)


def ranks_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the flags, and run the command as rank 0 where they are given.

    The command gets ``reader``, a keyword of ``Magistral.load``, None for one process.
    """

    @functools.wraps(command)
    def run(**options: Any) -> Any:
        ranks, hosts = options.pop("ranks"), options.pop("hosts")
        if ranks is not None and hosts is not None:
            raise UsageError("--ranks is for this machine and --hosts for several. Leave one out.")
        leader = _lead()
        if leader is not None:
            return _command_of(leader, command, options)
        if ranks is not None or hosts is not None:
            return _launch(_hosts(ranks, hosts))
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


def _launch(hosts: "Hosts") -> int:
    from mlx_magistral.cluster.launch import run

    return run(hosts, ["-P", "-m", "mlx_magistral", *sys.argv[1:]])


def _lead() -> "Leader | None":
    """The leader that this process is, where it was started as rank 0."""
    from mlx_magistral.cluster.call import Call

    call = Call.take()
    if call is None:
        return None
    from mlx_magistral.cluster.forming import form

    return form(call)


def _command_of(leader: "Leader", command: Callable[..., Any], options: dict[str, Any]) -> Any:
    from mlx_magistral.cluster.reader import LedReader
    from mlx_magistral.cluster.share import Split

    try:
        return command(**options, reader=LedReader(leader, Split.HEADS))
    except RuntimeError as error:
        if str(error).startswith("[ring]"):
            leader.wait_for_loss()  # which names the rank, and ends this process
        raise
