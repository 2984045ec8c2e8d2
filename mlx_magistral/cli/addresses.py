"""Where a server that listens on a host can be reached from, as addresses a person can open."""

import ipaddress
import socket

# Documentation addresses (RFC 5737 and RFC 3849): which of this machine's own would be used to
# reach another network. Connecting a datagram socket sends nothing.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reachable_urls(host: str, port: int) -> list[str]:
    """One address for a host, and for "all interfaces" this machine's own, loopback first."""
    try:
        is_everything = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        is_everything = False
    if not is_everything:
        return [_url(host, port)]
    is_six = ":" in host
    own = [found for found in own_addresses() if is_six or ":" not in found]
    return [_url(each, port) for each in ("127.0.0.1", *own)]


def own_addresses() -> list[str]:
    """Addresses of this machine that others can reach, IPv4 first."""
    found = {address: None for kind, far in _ELSEWHERE if (address := _towards(kind, far))}
    try:
        infos = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    except OSError:
        infos = []
    found |= {str(info[4][0]): None for info in infos}
    reachable = [each for each in found if _is_reachable(each)]
    return sorted(reachable, key=lambda each: ":" in each)


def _towards(kind: socket.AddressFamily, far: str) -> str | None:
    try:
        with socket.socket(kind, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            return str(probe.getsockname()[0])
    except OSError:
        return None


def _is_reachable(address: str) -> bool:
    if "%" in address:  # link-local, which a browser cannot open
        return False
    found = ipaddress.ip_address(address)
    return not (found.is_loopback or found.is_link_local or found.is_unspecified)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
