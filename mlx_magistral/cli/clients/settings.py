"""ClientSettings: one client's settings as templates, and what fills them in."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

# A reply may take this share of the context: agents keep that much of it free, and one that keeps
# nearly all of it free summarizes its conversation after every step.
_REPLY_PART = 4


@dataclass(frozen=True)
class Server:
    """What clients have to know of a server."""

    url: str
    key: str
    model: str
    context_tokens: int

    def fill(self, template: str, profile: Path | str = "~") -> str:
        """The template with ``$url``, ``$key``, ``$model``, ``$context`` and so on filled in."""
        return Template(template).substitute(
            url=self.url,
            key=self.key,
            model=self.model,
            context=self.context_tokens,
            output=self.context_tokens // _REPLY_PART,
            profile=profile,
        )


@dataclass(frozen=True)
class ClientSettings:
    """Templates, see Server.fill.

    ``text`` is printed. ``command`` starts the client, with ``environment`` set, ``unset``
    variables gone and ``files`` written under the profile's folder; it is empty where there is no
    program.
    """

    text: str
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


def exports(environment: Mapping[str, str], *rest: str) -> str:
    """The variables as a shell sets them, and lines after them."""
    return "\n".join([*(f"export {name}={value}" for name, value in environment.items()), *rest])
