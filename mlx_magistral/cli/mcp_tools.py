"""McpTools: tools of MCP servers in a chat or for one answer, each call with a person's consent."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mlx_magistral.cli.command_tools import CallMade, CommandTools
from mlx_magistral.cli.tool_question import Consent, ask_consent
from mlx_magistral.errors import McpError, UsageError
from mlx_magistral.events import ToolCall

if TYPE_CHECKING:
    from mlx_magistral.mcp.servers import McpServers, McpTool
    from mlx_magistral.text.tokenizer import Tokenizer

_OFF = ("off",)


def take_mcp(
    options: dict[str, Any], *, needs_yes: bool, can_ask: bool, timeout_s: float
) -> "McpTools | None":
    """Remove ``--mcp`` and ``--mcp-tools`` and start what they name; None for no servers.

    The servers end with the command. Where nobody can be asked, tools that were allowed for good
    are left; where there are none either, that is a UsageError, unless settings alone ask for them.
    """
    names, patterns = options.pop("mcp"), options.pop("mcp_tools")
    if not names or names == _OFF:
        if patterns and not names and _is_typed("mcp_tools"):
            raise UsageError("--mcp-tools chooses among the tools of --mcp. Give it servers.")
        return None
    from mlx_magistral.mcp.servers import McpServers

    servers = McpServers(names, patterns=patterns, timeout_s=timeout_s)
    click.get_current_context().call_on_close(servers.close)
    tools = McpTools(servers, needs_yes=needs_yes, can_ask=can_ask)
    if needs_yes and not can_ask and not tools.tools:
        if not _is_typed("mcp"):
            return None
        raise UsageError("--mcp calls tools of servers and nobody can be asked here. Add --yes.")
    return tools


class McpTools:
    """The chosen tools that are not refused for good; a call asks where it was not allowed yet."""

    def __init__(self, servers: "McpServers", *, needs_yes: bool, can_ask: bool) -> None:
        from mlx_magistral.mcp.consents import Consents

        self._servers = servers
        self._needs_yes = needs_yes
        self._can_ask = can_ask
        self._consents = Consents()

    @property
    def tools(self) -> "Mapping[str, McpTool]":
        """By the name that the model calls."""
        return {tool.name: tool for tool in self._servers.tools if self._may_call(tool)}

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """As a model is told of them."""
        return [tool.to_openai() for tool in self.tools.values()]

    def call(self, call: ToolCall) -> CallMade:
        """What came of it; a refusal and a failure are told to the model."""
        tool = self.tools[call.name]
        if not self._has_consent(tool, call):
            return _failed(call, "the user refused this call")
        try:
            return CallMade(call, tool.call(call.arguments))
        except McpError as error:
            return _failed(call, str(error))

    def choose(self, patterns: Sequence[str]) -> None:
        """Other patterns from now on; raises UsageError."""
        self._servers.choose(patterns)

    def forget(self) -> None:
        """Ask again for every tool."""
        self._consents.forget()

    def cost(self, tokenizer: "Tokenizer") -> str:
        """14 tools of 2 servers: 3,210 tokens of every prompt."""
        from mlx_magistral.text.tool_costs import tool_tokens

        tools, servers = self.tools.values(), len(self._servers.specs)
        tokens = tool_tokens(tokenizer, self.schemas)
        return (
            f"{len(tools)} tool{'s' * (len(tools) != 1)} of {servers} MCP "
            f"server{'s' * (servers != 1)}: {tokens:,} tokens of every prompt"
        )

    def describe(self, tokenizer: "Tokenizer | None") -> list[str]:
        """A line for each server and tool: what it costs, and whether it asks."""
        from mlx_magistral.text.tool_costs import tool_tokens

        lines = []
        chosen = {tool.place for tool in self._servers.tools}
        for spec in self._servers.specs:
            lines.append(spec.name)
            for tool in self._servers.every:
                if tool.server is not spec:
                    continue
                state = self._state(tool) if tool.place in chosen else "not chosen"
                tokens = (
                    ""
                    if tokenizer is None
                    else (f", {tool_tokens(tokenizer, [tool.to_openai()]):,} tokens")
                )
                lines.append(f"  {tool.own_name}: {state}{tokens}")
        return [*lines, *([] if tokenizer is None else [self.cost(tokenizer) + "."])]

    def _state(self, tool: "McpTool") -> str:
        allowed = self._consents.allows(tool.server, tool.own_name)
        if allowed is False:
            return "never called"
        return "called without asking" if allowed or not self._needs_yes else "asks first"

    def _may_call(self, tool: "McpTool") -> bool:
        allowed = self._consents.allows(tool.server, tool.own_name)
        return allowed is not False and (allowed or not self._needs_yes or self._can_ask)

    def _has_consent(self, tool: "McpTool", call: ToolCall) -> bool:
        if not self._needs_yes or self._consents.allows(tool.server, tool.own_name):
            return True
        answer = ask_consent(tool.place, call)
        if answer is Consent.SESSION:
            self._consents.allow_session(tool.server, tool.own_name)
        elif answer in (Consent.ALWAYS, Consent.NEVER):
            self._consents.keep(tool.server, tool.own_name, answer is Consent.ALWAYS)
        return answer in (Consent.YES, Consent.SESSION, Consent.ALWAYS)


class AllTools:
    """Commands and servers' tools as one; ``on_made`` is told of each call of either."""

    def __init__(
        self,
        commands: CommandTools,
        mcp: McpTools | None,
        on_made: Callable[[CallMade], None] = lambda made: None,
    ) -> None:
        self._commands = commands
        self.mcp = mcp
        self._on_made = on_made
        both = commands.tools.keys() & (mcp.tools.keys() if mcp else ())
        if both:
            raise UsageError(f"--tool {min(both)} has the name of an MCP server's tool. Rename it.")

    @property
    def tools(self) -> Mapping[str, object]:
        """By the name that the model calls."""
        return {**self._commands.tools, **(self.mcp.tools if self.mcp else {})}

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """As a model is told of them."""
        return [*self._commands.schemas, *(self.mcp.schemas if self.mcp else [])]

    @property
    def made(self) -> list[CallMade]:
        """The calls so far."""
        return self._commands.made

    def run(self, call: ToolCall) -> str:
        """The result, or what went wrong, for the model."""
        if self.mcp is None or call.name in self._commands.tools:
            return self._commands.run(call)
        if call.name in self.mcp.tools:
            made = self.mcp.call(call)
        else:
            made = _failed(call, f"there is no such tool; there is {', '.join(self.tools)}")
        self.made.append(made)
        self._on_made(made)
        return made.result


def _is_typed(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is not ParameterSource.DEFAULT_MAP


def _failed(call: ToolCall, problem: str) -> CallMade:
    return CallMade(call, json.dumps({"error": problem}, ensure_ascii=False), problem)
