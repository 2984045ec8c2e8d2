"""Hostfiles: those of mlx.launch, read and checked, or so many ranks on this machine."""

import ipaddress
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.cluster.call import Host
from mlx_magistral.errors import UsageError

LOOPBACK = "127.0.0.1"
RING, JACCL = "ring", "jaccl"


@dataclass(frozen=True)
class Hosts:
    """The machines in the order of their ranks, and how they are linked."""

    hosts: tuple[Host, ...]
    backend: str = RING


def local_hosts(ranks: int) -> Hosts:
    """So many ranks on this machine, for trying out."""
    return Hosts(tuple(Host(f"rank {rank} here", LOOPBACK) for rank in range(ranks)))


def read_hostfile(path: Path) -> Hosts:
    """A file as ``mlx.distributed_config`` writes it; raises UsageError naming line or host.

    Either a list of ``{"ssh": NAME, "ips": [IP], "rdma": [...]}`` or an object with it under
    ``hosts`` and a ``backend``. The first host is this machine.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        line = f" line {error.lineno}," if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "it is no text"
        raise UsageError(f"{path},{line} is no JSON: {reason}. {_FORM}") from error
    table = content.get("hosts") if isinstance(content, dict) else content
    backend = (content.get("backend") if isinstance(content, dict) else None) or RING
    if not isinstance(table, list) or len(table) < 2:
        raise UsageError(f"{path} names no two hosts. {_FORM}")
    if backend not in (RING, JACCL):
        raise UsageError(f"{path}: backend is {backend!r}. Use ring, or jaccl for Thunderbolt 5.")
    hosts = tuple(_host(path, index, entry, backend) for index, entry in enumerate(table))
    if backend == JACCL:
        _check_rdma(path, hosts)
    if not is_here(hosts[0].address):
        raise UsageError(
            f"{path}: {hosts[0].address} is no address of this machine. The first host has the "
            "terminal: put this one first."
        )
    return Hosts(hosts, backend)


_FORM = 'Write [{"ssh": "mac1.local", "ips": ["10.0.0.1"]}, ...], as mlx.distributed_config does.'


def is_here(address: str) -> bool:
    """Whether an address is one of this machine's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _host(path: Path, index: int, entry: Any, backend: str) -> Host:
    where = f"{path}: host {index + 1}"
    if not isinstance(entry, dict) or not isinstance(entry.get("ssh"), str) or not entry["ssh"]:
        raise UsageError(f'{where} has no "ssh" name. {_FORM}')
    ips, rdma = entry.get("ips") or [], entry.get("rdma") or []
    if not isinstance(ips, list) or not ips:
        raise UsageError(f'{where}, {entry["ssh"]}, has no "ips". {_FORM}')
    try:
        address = str(ipaddress.ip_address(ips[0]))
    except ValueError as error:
        raise UsageError(f"{where}, {entry['ssh']}: {ips[0]!r} is no IP address.") from error
    if entry["ssh"].startswith("-"):
        raise UsageError(f"{where}: {entry['ssh']!r} is no name of a host.")
    return Host(entry["ssh"], address, tuple(rdma) if backend == JACCL else ())


def _check_rdma(path: Path, hosts: tuple[Host, ...]) -> None:
    for index, host in enumerate(hosts):
        devices = host.rdma
        is_full = len(devices) == len(hosts) and all(
            (device is None) == (place == index) for place, device in enumerate(devices)
        )
        if not is_full:
            raise UsageError(
                f'{path}: host {index + 1}, {host.name}, needs "rdma" with one device for each '
                "other host and null for itself: JACCL links every two Macs by a cable."
            )
