"""What a reply is made of, as it streams. No mlx, no tokens: a display needs only this file."""

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Generic, TypeVar


class FinishReason(StrEnum):
    """Why a reply ended, in the words of the OpenAI API where it has one."""

    STOP = "stop"
    """The model ended it, or a stop string."""

    LENGTH = "length"
    """max_tokens, the context, or the machine's memory was used up."""

    LOOP = "loop"
    """It went in circles."""

    INTERRUPTED = "interrupted"
    """Somebody cancelled it."""

    TOOL_CALLS = "tool_calls"
    """It calls tools and waits for their results."""


class Limit(StrEnum):
    """What cut a reply or its thinking short."""

    THINK_BUDGET = "think_budget"
    """The thinking was closed at its budget."""

    MAX_TOKENS = "max_tokens"
    """max_tokens ended the reply, or closed the thinking so that an answer had room."""

    LOOP = "loop"
    """The thinking or the answer went in circles."""

    MEMORY = "memory"
    """The machine's memory is used up."""


@dataclass(frozen=True)
class TokenLogprob:
    """An id, its bytes (a part of a character, perhaps), and how likely the model found it.

    ``logprob`` is a natural logarithm, of the model's own distribution at temperature 1; ``top``
    are the likeliest ids in the same place, best first.
    """

    token: int
    bytes: bytes
    logprob: float
    top: tuple["TokenLogprob", ...] = ()


@dataclass(frozen=True)
class ReasoningDelta:
    """A piece of the thinking, never empty; ``tokens`` counts the ids it was made of.

    ``logprobs`` has those ids where they were asked for, else nothing.
    """

    text: str
    tokens: int = field(default=1, compare=False)
    logprobs: tuple[TokenLogprob, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class ContentDelta:
    """A piece of the answer, never empty; ``tokens`` and ``logprobs`` as in ReasoningDelta."""

    text: str
    tokens: int = field(default=1, compare=False)
    logprobs: tuple[TokenLogprob, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class ToolCallDelta:
    """A piece of a tool call: the first of each index carries id and whole name, later ones text.

    ``arguments`` is a piece of JSON text exactly as the model wrote it; joined, the pieces of one
    index are the call's arguments (``{}`` where the model wrote none).
    """

    index: int
    id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True)
class Usage:
    """Token counts; ``reasoning_tokens`` is a part of ``completion_tokens``."""

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int
    cached_tokens: int = 0

    @property
    def answer_tokens(self) -> int:
        """What is no thinking: the answer, tool calls, and the markers around them."""
        return self.completion_tokens - self.reasoning_tokens


@dataclass(frozen=True)
class Timings:
    """Seconds and tokens per second; a rate is 0.0 where nothing was timed.

    ``reasoning_s`` is the time inside think blocks, from each [THINK] to its [/THINK].
    ``tokens_per_pass`` is ids over passes of the model, 1.0 without speculation; ``guesses`` are
    the ids guessed, and ``acceptance`` the share of them that came true, None where none was.
    """

    load_s: float
    ttft_s: float
    prefill_tps: float
    decode_tps: float
    peak_memory_bytes: int
    reasoning_s: float = 0.0
    tokens_per_pass: float = 1.0
    acceptance: float | None = None
    guesses: int = 0


@dataclass(frozen=True)
class Progress:
    """How far a reply is that goes on: what Usage and Timings will say at its end.

    ``read_tokens`` of the prompt's are in the cache, the ``cached_tokens`` among them from an
    earlier prompt; ``prompt_s`` lasts until the first id, the wait for a place included.
    """

    prompt_tokens: int
    cached_tokens: int
    read_tokens: int
    prompt_s: float
    completion_tokens: int
    decode_s: float


@dataclass(frozen=True)
class Finished:
    """The last event of every reply.

    ``limit`` is what cut it short: the whole reply, or the thinking alone where an answer followed.
    ``stop`` is the stop string that ended it, if one did. ``invalid`` says what of the answer or
    of a call breaks its schema, where that could not be enforced.
    """

    reason: FinishReason
    usage: Usage
    timings: Timings
    limit: Limit | None = None
    stop: str | None = None
    invalid: str | None = None


Event = ReasoningDelta | ContentDelta | ToolCallDelta | Finished


@dataclass(frozen=True)
class ToolCall:
    """One complete tool call; ``arguments`` is the JSON text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """A whole reply: ``reasoning`` or ``content`` is None where the model wrote none.

    ``limit`` is what cut the reply or its thinking short, and ``invalid`` what of the answer breaks
    its schema. ``rounds`` are the messages of the rounds before it in which tools were called, with
    their results. ``parsed`` is the answer as an instance of the class that was given as schema,
    None where none was given or the answer is not whole.
    """

    model: str
    reasoning: str | None
    content: str | None
    finish_reason: FinishReason
    usage: Usage
    timings: Timings
    tool_calls: list[ToolCall] = field(default_factory=list)
    limit: Limit | None = None
    invalid: str | None = None
    rounds: list[dict[str, Any]] = field(default_factory=list)
    parsed: Any = None

    @property
    def message(self) -> dict[str, Any]:
        """The reply as an OpenAI message, to append to a conversation.

        What the model did not write is left out.
        """
        message: dict[str, Any] = {"role": "assistant"}
        if self.content is not None:
            message["content"] = self.content
        if self.reasoning is not None:
            message["reasoning"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.tool_calls
            ]
        return message

    @property
    def messages(self) -> list[dict[str, Any]]:
        """All that came after the question, to extend a conversation by: rounds, then the reply."""
        return [*self.rounds, self.message]

    def to_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints, with only JSON types.

        ``limit`` only if one acted, ``invalid`` only if the answer is.
        """
        keys = "model reasoning content tool_calls finish_reason usage timings".split()
        keys += [name for name in ("limit", "invalid") if getattr(self, name) is not None]
        values = asdict(replace(self, rounds=[], parsed=None))
        values["usage"]["answer_tokens"] = self.usage.answer_tokens
        return {key: values[key] for key in keys}

    def _repr_markdown_(self) -> str:
        """What a notebook shows: the thinking folded, then the answer."""
        parts = []
        if self.reasoning is not None:
            count = f"{self.usage.reasoning_tokens:,} tokens"
            # A tag in it would end the fold.
            thoughts = self.reasoning.strip().replace("&", "&amp;").replace("<", "&lt;")
            parts.append(
                f"<details><summary>Thinking, {count}</summary>\n\n{thoughts}\n\n</details>"
            )
        parts += [self.content] if self.content is not None else []
        parts += [f"Tool call: `{call.name}` `{call.arguments}`" for call in self.tool_calls]
        if self.finish_reason not in (FinishReason.STOP, FinishReason.TOOL_CALLS):
            parts.append(f"*Ended by: {self.finish_reason}*")
        return "\n\n".join(parts)


Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class ParsedReply(Reply, Generic[Parsed]):
    """A reply under a pydantic class as schema: ``parsed`` is an instance of that class."""

    parsed: Parsed | None = None
