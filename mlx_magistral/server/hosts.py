"""Names by which this machine may be called: those that a stranger's web page cannot have.

DNS rebinding lets a page of ``evil.example`` point that name at 127.0.0.1 and read what a server
there answers. It takes a name in the public DNS that the stranger holds. Addresses, names without
a dot, names in zones that the public DNS does not have (RFC 6761, RFC 6762, RFC 8375, ICANN's
``internal``) and Tailscale's, which point at its own addresses alone, cannot be used for it.
"""

import ipaddress
import socket
from urllib.parse import urlsplit

_PRIVATE_ZONES = (".localhost", ".local", ".internal", ".home.arpa", ".ts.net")


class HostRule:
    """Which Host headers are let in; ``allowed`` are further names, ``*.x`` all names under x."""

    def __init__(self, allowed: tuple[str, ...] = ()) -> None:
        named = [name.lower().rstrip(".") for name in allowed]
        self._names = {socket.gethostname().lower(), *named}
        self._zones = (*_PRIVATE_ZONES, *(name[1:] for name in named if name.startswith("*.")))

    def allows(self, host: str) -> bool:
        """Whether a name that ``host_name`` gave may be used."""
        if not host:
            return False
        if "." not in host or host in self._names or host.endswith(self._zones):
            return True
        return _is_address(host)


def host_name(host: str) -> str:
    """The name of a Host header: in lower case, without its port; empty for none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
