"""Settings of a chat: what the flags began with and the commands change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mlx_magistral.events import ToolCall
from mlx_magistral.terminal.display import ThinkMode


class Tools(Protocol):
    """Commands that the model may call."""

    @property
    def tools(self) -> Mapping[str, object]: ...
    @property
    def schemas(self) -> Sequence[dict[str, Any]]: ...
    def run(self, call: ToolCall) -> str: ...


class Servers(Protocol):
    """MCP servers whose tools the model may call."""

    def describe(self, tokenizer: Any | None) -> list[str]: ...
    def choose(self, patterns: Sequence[str]) -> None: ...
    def forget(self) -> None: ...


@dataclass
class ChatSettings:
    """``options`` are further keywords of ``Magistral.stream``, such as temperature and seed."""

    model: str | None
    load: Callable[[str | None], Any]
    make_tools: Callable[[tuple[str, ...]], Tools]
    mcp: Servers | None = None
    think: ThinkMode = ThinkMode.FULL
    keep_reasoning: bool = False
    is_logged: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    tool_texts: tuple[str, ...] = ()
    files: list[Path] = field(default_factory=list)
