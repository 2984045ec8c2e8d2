"""Coding agents and other programs, run with the settings that ``connect --run`` gives them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from mlx_magistral.cli.client_run import write_profile
from mlx_magistral.cli.clients import CLIENTS

from .cases import PROMPTS
from .running import Client, Command, Place, server_of

# A case's own arguments: the prompt, and whether the client goes on with its last conversation.
Arguments = Callable[[str, bool], list[str]]


def _agent(
    name: str,
    packages: tuple[str, ...],
    arguments: Arguments,
    *,
    is_node: bool = True,
    leaves_out: tuple[str, ...] = (),
    more: dict[str, str] | None = None,
    prepare: Callable[[Place], None] = lambda place: None,
    keeps_command: bool = True,
    python: str = sys.executable,
) -> Client:
    settings = CLIENTS[name]

    def profile(place: Place) -> Path:
        return place.folder / "profile"

    def set_up(place: Place) -> None:
        write_profile(settings, server_of(place), profile(place))
        prepare(place)

    def ask(place: Place, case: str, goes_on: bool) -> Command:
        server, folder = server_of(place), profile(place)
        filled = [server.fill(part, folder) for part in settings.command]
        program = client.program(place.folder, filled[0])
        given = filled[1:] if keeps_command else []
        environment = {
            key: server.fill(value, folder) for key, value in settings.environment.items()
        }
        asked = arguments(PROMPTS[case], goes_on)
        return Command([program, *given, *asked], {**environment, **(more or {})})

    version = (packages[0],)
    client = Client(
        name, packages, version, ask, is_node, leaves_out, prepare=set_up, python=python
    )
    return client


def _claude(prompt: str, goes_on: bool) -> list[str]:
    return ["-p", *(["--continue"] if goes_on else []), "--allowedTools", "Bash", "--", prompt]


def _codex(prompt: str, goes_on: bool) -> list[str]:
    flags = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    return ["exec", *(["resume", "--last"] if goes_on else []), *flags, prompt]


def _opencode(prompt: str, goes_on: bool) -> list[str]:
    return ["run", *(["--continue"] if goes_on else []), prompt]


def _continue(prompt: str, goes_on: bool) -> list[str]:
    return ["--auto", *(["--resume"] if goes_on else []), "-p", prompt]


def _qwen(prompt: str, goes_on: bool) -> list[str]:
    return ["--yolo", *(["--continue"] if goes_on else []), "-p", prompt]


def _pi(prompt: str, goes_on: bool) -> list[str]:
    return ["-p", *(["--continue"] if goes_on else []), prompt]


def _aider(prompt: str, goes_on: bool) -> list[str]:
    flags = ["--yes-always", "--no-git", "--no-pretty", "--no-stream", "--map-tokens", "0"]
    return [*flags, *(["--restore-chat-history"] if goes_on else []), "--message", prompt]


def _cline(prompt: str, goes_on: bool) -> list[str]:
    return [prompt]


def _vibe(prompt: str, goes_on: bool) -> list[str]:
    return ["--trust", "--auto-approve", *(["--continue"] if goes_on else []), "-p", prompt]


_ADD = """def add(a: int, b: int) -> str:
    "Add two numbers."
    if a == 13:
        raise ValueError("thirteen is not added here")
    return f"forty-{a + b}"
"""


def _llm(prompt: str, goes_on: bool) -> list[str]:
    return ["-m", "magistral", *(["-c"] if goes_on else []), "--functions", _ADD, prompt]


def _install_claude(place: Place) -> None:
    """Its program is a package of its own, which a script of it puts into place."""
    script = place.folder / "node_modules/@anthropic-ai/claude-code/install.cjs"
    if script.exists():
        subprocess.run(["node", str(script)], cwd=script.parent, check=True, capture_output=True)


AGENTS = [
    _agent(
        "claude-code",
        ("@anthropic-ai/claude-code",),
        _claude,
        more={"IS_SANDBOX": "1"},
        prepare=_install_claude,
    ),
    _agent("codex", ("@openai/codex",), _codex),
    _agent("opencode", ("opencode-ai",), _opencode),
    _agent("continue", ("@continuedev/cli",), _continue),
    _agent("qwen-code", ("@qwen-code/qwen-code",), _qwen),
    _agent("pi", ("@mariozechner/pi-coding-agent",), _pi),
    # It goes on with a conversation at a terminal alone.
    _agent("cline", ("cline",), _cline, leaves_out=("second",)),
    _agent("mistral-vibe", ("mistral-vibe",), _vibe, is_node=False, python="python3.12"),
    _agent("aider", ("aider-chat",), _aider, is_node=False, leaves_out=("tool", "error", "abort")),
    _agent("llm", ("llm",), _llm, is_node=False, keeps_command=False),
]
