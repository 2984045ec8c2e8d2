"""A server whose replies a test writes, and lets go on step by step."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from server_fakes import FakeBackend, FakeTicket

from mlx_magistral.errors import GenerationError, McpError
from mlx_magistral.events import (
    ContentDelta,
    Event,
    Finished,
    FinishReason,
    Progress,
    ReasoningDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from mlx_magistral.server.app import make_app
from mlx_magistral.server.backend import GenerationRequest, OnEvent
from mlx_magistral.server.guard import Rules
from mlx_magistral.server.tools import tool_routes
from mlx_magistral.server.uvicorn_server import DrainingServer, bind

PROMPT = 40
# What a reply does: say something, wait until the test says "go", read of its prompt, or fail.
GO, FAIL = "go", "fail"
Step = Event | str | int


def thought(*pieces: str) -> list[Step]:
    return [ReasoningDelta(piece) for piece in pieces]


def answer(*pieces: str) -> list[Step]:
    return [ContentDelta(piece) for piece in pieces]


PLAIN: list[Step] = [*thought("Let me see. "), *answer("It is **7**.")]


class Ticket(FakeTicket):
    """A reply on its way; 50 tokens a second, whatever the test's own pace."""

    def __init__(self) -> None:
        super().__init__()
        self.progress = Progress(PROMPT, 0, 0, 0.5, 0, 0.0)


class ScriptedBackend(FakeBackend):
    """Takes the next of ``scripts`` for each reply, the last one again and again."""

    model_name = "scripted"
    model_names: Sequence[str] = ("scripted",)
    context_tokens = 1000
    facts: Mapping[str, Any] = {
        "n_params": 23_572_403_200,
        "n_ctx_train": 131_072,
        "memory": {
            "weights": 13_260_000_000,
            "kv": 6_710_000_000,
            "kv_bits": 16,
            "workspace": 600_000_000,
            "reserve": 1_000_000_000,
            "limit": 22_900_000_000,
        },
    }

    def __init__(self) -> None:
        super().__init__()
        self.reset()

    def reset(self) -> None:
        self.scripts: list[Sequence[Step]] = [PLAIN]
        self.requests = []
        self.turn = threading.Semaphore(0)
        self.model_names = ("scripted",)

    def go(self) -> None:
        """Let a reply pass its next GO."""
        self.turn.release()

    def submit(self, request: GenerationRequest, on_event: OnEvent) -> Ticket:
        self.requests.append(request)
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        ticket = Ticket()
        threading.Thread(target=self._play, args=(script, ticket, on_event), daemon=True).start()
        return ticket

    def _play(self, script: Sequence[Step], ticket: Ticket, on_event: OnEvent) -> None:
        said = thoughts = 0
        for step in script:
            if isinstance(step, int):
                ticket.progress = Progress(PROMPT, 0, step, 0.5, 0, 0.0)
            elif step == GO:
                while not self.turn.acquire(timeout=0.05):
                    if ticket.cancelled.is_set():
                        return
            elif isinstance(step, str):
                on_event(GenerationError("The reply failed."))
                return
            else:
                said += 1
                thoughts += isinstance(step, ReasoningDelta)
                ticket.progress = Progress(PROMPT, 0, PROMPT, 0.5, said, (said - 1) / 50)
                on_event(step)
        usage = Usage(PROMPT, said, thoughts)
        calls = any(isinstance(step, ToolCallDelta) for step in script)
        reason = FinishReason.TOOL_CALLS if calls else FinishReason.STOP
        on_event(Finished(reason, usage, Timings(0, 0.5, 0, 50, 0)))

    def count_tokens(self, request: GenerationRequest) -> int:
        return 12


class Clock:
    """A tool of a server that there is not."""

    name = "now"
    place = "time/now"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def to_openai(self) -> dict[str, Any]:
        parameters = {"type": "object", "properties": {"zone": {"type": "string"}}}
        return {"type": "function", "function": {"name": self.name, "parameters": parameters}}

    def call(self, arguments: str) -> str:
        self.asked.append(arguments)
        if "Nowhere" in arguments:
            raise McpError("there is no such zone")
        return "half past nine"


class Scripted:
    """The backend and the address of its server."""

    def __init__(self, url: str, backend: ScriptedBackend) -> None:
        self.url = url
        self.backend = backend


@contextmanager
def serving_scripts(
    port: int = 0, api_key: str | None = None, tools: Sequence[Clock] = ()
) -> Iterator[Scripted]:
    """A server in a thread, at a free port unless one is given."""
    listener = bind("127.0.0.1", port)
    backend = ScriptedBackend()
    app = make_app(backend, Rules(api_key), tools=tool_routes(tools, lambda tool: 99))
    server = DrainingServer(app, backend, drain_s=1)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Scripted(f"http://127.0.0.1:{listener.getsockname()[1]}", backend)
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=30)
        listener.close()
