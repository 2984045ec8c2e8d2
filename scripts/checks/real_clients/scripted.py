"""A backend whose replies are set by a test; requests are encoded and checked as a model's are."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlx_magistral.decode.rules.control import ControlOptions
from mlx_magistral.decode.rules.guidance import make_guidance
from mlx_magistral.decode.rules.structure import structure_rules
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
from mlx_magistral.server.backend import BackendStats, GenerationRequest, OnEvent
from mlx_magistral.text.functions import openai_tools
from mlx_magistral.text.raw_prompt import raw_prompt
from mlx_magistral.text.tokenizer import load_tokenizer

_PIECE = 12  # characters of a delta
_PAUSE_S = 0.02
_SLOW_PAUSE_S = 0.2


@dataclass(frozen=True)
class Turn:
    """One reply: its thinking, its answer, calls as (name, JSON text).

    A slow one goes on thinking until the client leaves.
    """

    reasoning: str = "Let me think."
    content: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    is_slow: bool = False


Script = Callable[[GenerationRequest], Turn]


@dataclass
class ScriptedTicket:
    """A reply on its way."""

    prompt_tokens: int
    is_slow: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)
    has_ended: threading.Event = field(default_factory=threading.Event)

    @property
    def progress(self) -> Progress:
        return Progress(self.prompt_tokens, 0, self.prompt_tokens, 0.1, 0, 0.0)

    def cancel(self) -> None:
        self.cancelled.set()

    def answer_now(self) -> None:
        pass


class ScriptedBackend:
    """Plays what ``script`` says to each request, after the checks that a real one makes."""

    model_name = "magistral"
    model_names = ("magistral",)
    context_tokens = 40_960
    places = 16
    facts: Mapping[str, Any] = {"n_ctx_train": 131_072}

    def __init__(self, script: Script, folder: Path) -> None:
        """``folder`` has the tekken.json that prompts are counted by: the real vocabulary's."""
        self.script = script
        self.tickets: list[ScriptedTicket] = []
        self._tokenizer = load_tokenizer(folder)
        self._guidance = make_guidance(self._tokenizer)

    def submit(self, request: GenerationRequest, on_event: OnEvent) -> ScriptedTicket:
        """Raises what a real backend raises at once."""
        self._check_structure(request)
        turn = self.script(request)
        ticket = ScriptedTicket(self.count_tokens(request), turn.is_slow)
        self.tickets.append(ticket)
        threading.Thread(target=self._play, args=(turn, ticket, on_event), daemon=True).start()
        return ticket

    def count_tokens(self, request: GenerationRequest) -> int:
        if request.prompt is not None:
            return len(raw_prompt(request.prompt, self._tokenizer)[0])
        tools = openai_tools(request.tools)
        return len(self._tokenizer.encode_chat(request.messages or "", tools=tools))

    def stats(self) -> BackendStats:
        return BackendStats(0, 0, 10**9)

    def close(self, drain_s: float) -> None:
        for ticket in self.tickets:
            ticket.cancel()

    def _check_structure(self, request: GenerationRequest) -> None:
        known = ControlOptions.__dataclass_fields__.keys()
        options = {key: value for key, value in request.options.items() if key in known}
        control = ControlOptions(
            **options,
            tool_choice=request.tool_choice,
            parallel_tool_calls=request.parallel_tool_calls,
        )
        tools = openai_tools(request.tools)
        structure_rules(control, self._tokenizer, tools, "auto", lambda: self._guidance, 4096)

    def _play(self, turn: Turn, ticket: ScriptedTicket, on_event: OnEvent) -> None:
        count = 0
        for event in _events(turn):
            if ticket.cancelled.wait(_SLOW_PAUSE_S if turn.is_slow else _PAUSE_S):
                break
            count += 1
            on_event(event)
        reason = FinishReason.TOOL_CALLS if turn.calls else FinishReason.STOP
        if ticket.cancelled.is_set():
            reason = FinishReason.INTERRUPTED
        usage = Usage(ticket.prompt_tokens, count, min(count, 3))
        on_event(Finished(reason, usage, Timings(0.0, 0.1, 100.0, 50.0, 0)))
        ticket.has_ended.set()


def _events(turn: Turn) -> list[Event]:
    reasoning = turn.reasoning * (400 if turn.is_slow else 1)
    events: list[Event] = [ReasoningDelta(piece) for piece in _pieces(reasoning)]
    events += [ContentDelta(piece) for piece in _pieces(turn.content)]
    for index, (name, arguments) in enumerate(turn.calls):
        events.append(ToolCallDelta(index, f"call{time.monotonic_ns() % 10**5:05}", name, ""))
        events += [ToolCallDelta(index, None, None, piece) for piece in _pieces(arguments)]
    return events


def _pieces(text: str) -> list[str]:
    return [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
