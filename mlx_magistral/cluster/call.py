"""Call: what a launcher tells the process of rank 0, in one variable of its environment."""

import json
import os
from dataclasses import asdict, dataclass

VARIABLE = "MLX_MAGISTRAL_CLUSTER"
_LINK_ERRORS = ("[ring]", "[jaccl]", "[distributed]")


def is_link_error(error: BaseException) -> bool:
    """Whether MLX raised it because another rank is gone."""
    return isinstance(error, RuntimeError) and str(error).startswith(_LINK_ERRORS)


@dataclass(frozen=True)
class Host:
    """A rank's machine: its name for people and for ssh, and the address that others reach it by.

    ``rdma`` are the devices of JACCL that lead to each rank, empty for Ethernet.
    """

    name: str
    address: str
    rdma: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Call:
    """The hosts in the order of their ranks, and what the launcher has opened already.

    ``listener`` is the socket that followers come to and know ``token`` for; ``lifeline`` ends with
    the launcher; ``status`` takes a line for each step; ``server`` is a listening HTTP socket.
    """

    hosts: tuple[Host, ...]
    backend: str
    token: str
    listener: int
    lifeline: int
    status: int
    server: int | None = None

    def to_environment(self) -> dict[str, str]:
        """The variable, for the process that gets the call."""
        return {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def take(cls) -> "Call | None":
        """The call that this process was started with, if any; programs it starts get none."""
        text = os.environ.pop(VARIABLE, None)
        if text is None:
            return None
        content = json.loads(text)
        hosts = tuple(
            Host(each["name"], each["address"], tuple(each["rdma"])) for each in content["hosts"]
        )
        return cls(**{**content, "hosts": hosts})
