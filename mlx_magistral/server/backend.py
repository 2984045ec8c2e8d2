"""What the HTTP side asks of whatever generates: one request in, events out by callback.

The protocols (OpenAI, Anthropic) know nothing of models, caches or threads; the backend knows
nothing of HTTP. Events are those of mlx_magistral.events and end with Finished, or with an error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

from mlx_magistral.errors import MagistralError
from mlx_magistral.events import Event, Progress

OnEvent = Callable[[Event | MagistralError], None]


@dataclass(frozen=True)
class GenerationRequest:
    """One reply to make; either ``messages`` (a chat) or ``prompt`` (ids or text, no template).

    ``options`` holds fields of SamplingOptions and ControlOptions by name. ``logprobs`` is how many
    alternatives to report for each id, None for no logprobs at all. ``tool_choice`` is ``auto``,
    ``none``, ``required`` or the name of a tool. ``model`` is one of the backend's names; any other
    means its own model.
    """

    messages: Sequence[Any] | None = None
    prompt: str | Sequence[int] | None = None
    tools: Sequence[Any] | None = None
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    raw_system: bool = False
    thinking: Literal["auto", "force", "skip"] = "auto"
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None

    def keywords(self) -> dict[str, Any]:
        """What ``Magistral.stream`` is called with."""
        options: dict[str, Any] = dict(self.options)
        if self.tool_choice != "auto":
            options["tool_choice"] = self.tool_choice
        if not self.parallel_tool_calls:
            options["parallel_tool_calls"] = False
        return {
            "messages": self.messages,
            "prompt": self.prompt,
            "tools": self.tools,
            "raw_system": self.raw_system,
            "thinking": self.thinking,
            "max_tokens": self.max_tokens,
            "stop": self.stop,
            "logprobs": self.logprobs,
            **options,
        }


def copies(request: GenerationRequest, count: int) -> list[GenerationRequest]:
    """The request ``count`` times; a seed counts up, or all replies would be the same."""
    seed = request.options.get("seed")
    if seed is None:
        return [request] * count
    return [
        replace(request, options={**request.options, "seed": seed + index})
        for index in range(count)
    ]


@dataclass(frozen=True)
class BackendStats:
    """What is going on right now, for /metrics and /health."""

    running: int
    queued: int
    free_memory_bytes: int
    memory_pressure: int = 0  # 0 none, 1 short of memory, 2 critical


class Ticket(Protocol):
    """A reply on its way; safe from any thread, and the calls act within one token."""

    @property
    def progress(self) -> Progress:
        """How far it is, or was at its end."""
        ...

    def cancel(self) -> None: ...

    def answer_now(self) -> None: ...


class Backend(Protocol):
    """Generates for many callers at once."""

    @property
    def model_name(self) -> str: ...

    @property
    def model_names(self) -> Sequence[str]:
        """All that a request may name: the model's own first, then NAME:ADAPTER."""
        ...

    @property
    def context_tokens(self) -> int: ...

    @property
    def facts(self) -> Mapping[str, Any]:
        """Sizes of the model, in llama.cpp's names, and the plan of its memory in bytes."""
        ...

    @property
    def places(self) -> int:
        """Replies that may run and wait together."""
        ...

    def submit(self, request: GenerationRequest, on_event: OnEvent) -> Ticket:
        """Queue a reply; ``on_event`` is called from the backend's own thread, in order.

        Raises PromptError, ContextLengthError or UsageError at once for a request that cannot be
        right, QueueFullError where the queue is full, and OverloadedError where the backend is
        closing.
        """
        ...

    def count_tokens(self, request: GenerationRequest) -> int: ...

    def stats(self) -> BackendStats: ...

    def close(self, drain_s: float) -> None:
        """Take nothing more, let what runs finish for ``drain_s`` seconds, then cancel the rest."""
        ...
