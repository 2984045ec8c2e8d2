"""What the model says: generated ids in, events out.

One state machine over ids. Text that looks like a marker is text, and an id that is a marker gives
none. Prompts never pass through here: the official system prompt holds a think block of its own.

    CONTENT         [THINK] -> REASONING    [/THINK] absorbed
    REASONING       [THINK] absorbed        [/THINK] -> CONTENT
    any state       [TOOL_CALLS] -> TOOL_NAME
    TOOL_NAME       [ARGS], or a "{" in the text -> TOOL_ARGUMENTS
    anywhere else   a control id gives no text and ends a pending run of bytes
"""

import random
import string
from enum import Enum, auto
from typing import TYPE_CHECKING

from mlx_magistral.events import (
    ContentDelta,
    Event,
    ReasoningDelta,
    TokenLogprob,
    ToolCallDelta,
)
from mlx_magistral.text.decoder import TextDecoder

if TYPE_CHECKING:
    from mlx_magistral.text.tokenizer import Tokenizer

_ID_CHARACTERS = string.ascii_letters + string.digits
_ID_LENGTH = 9


class ParserState(Enum):
    """Where in a reply the next id falls."""

    CONTENT = auto()
    REASONING = auto()
    TOOL_NAME = auto()
    TOOL_ARGUMENTS = auto()


class ReasoningParser:
    """Turns the ids of one reply into reasoning, content and tool-call events.

    Text is passed on verbatim, the white space around think blocks included, as vLLM's parser
    does. ``in_reasoning=True`` is for a prompt that ends in an open think block. ``id_source``
    seeds the ids of tool calls.
    """

    def __init__(
        self,
        tokenizer: "Tokenizer",
        *,
        in_reasoning: bool = False,
        id_source: random.Random | None = None,
    ) -> None:
        self._is_control = tokenizer.is_control
        self._decoder = TextDecoder(tokenizer)
        self._think = tokenizer.control_id("[THINK]")
        self._end_think = tokenizer.control_id("[/THINK]")
        self._tool_calls = tokenizer.control_id("[TOOL_CALLS]")
        self._args = tokenizer.control_id("[ARGS]")
        self._id_source = id_source or random.Random()
        self._state = ParserState.REASONING if in_reasoning else ParserState.CONTENT
        self._reasoning_tokens = 0
        # Ids read whose text is still to come: a character may be split across several.
        self._silent_tokens = 0
        self._logprobs: list[TokenLogprob] = []
        self._tool_name: list[str] = []
        self._tool_index = -1
        self._has_arguments = False

    @property
    def state(self) -> ParserState:
        """Where the next id falls."""
        return self._state

    @property
    def reasoning_tokens(self) -> int:
        """Ids of text inside think blocks so far; the markers themselves are not counted."""
        return self._reasoning_tokens

    def feed(self, token: int, logprob: TokenLogprob | None = None) -> list[Event]:
        """The events that became complete with this id; often one, sometimes none.

        ``logprob`` goes into the event that has the id's text, if it is a thinking or an answer.
        """
        text = self._decoder.feed(token)
        if self._is_control(token):
            events = self._on_text(text) if text else []
            events += self._on_control(token)
            return events
        if self._state is ParserState.REASONING:
            self._reasoning_tokens += 1
        if self._state in (ParserState.REASONING, ParserState.CONTENT):
            self._silent_tokens += 1
            if logprob is not None:
                self._logprobs.append(logprob)
        return self._on_text(text) if text else []

    def flush(self) -> list[Event]:
        """What is still pending when the reply has ended."""
        text = self._decoder.flush()
        events = self._on_text(text) if text else []
        return events + self._end_tool_call()

    def _on_text(self, text: str) -> list[Event]:
        match self._state:
            case ParserState.REASONING:
                return [ReasoningDelta(text, self._take_tokens(), self._take_logprobs())]
            case ParserState.CONTENT:
                return [ContentDelta(text, self._take_tokens(), self._take_logprobs())]
            case ParserState.TOOL_NAME:
                return self._on_name_text(text)
            case ParserState.TOOL_ARGUMENTS:
                return self._on_arguments(text)

    def _take_tokens(self) -> int:
        taken, self._silent_tokens = self._silent_tokens, 0
        return taken

    def _take_logprobs(self) -> tuple[TokenLogprob, ...]:
        taken, self._logprobs = tuple(self._logprobs), []
        return taken

    def _on_control(self, token: int) -> list[Event]:
        is_in_tool_call = self._state in (ParserState.TOOL_NAME, ParserState.TOOL_ARGUMENTS)
        if token == self._tool_calls:
            events = self._end_tool_call()
            self._state = ParserState.TOOL_NAME
            return events
        if token == self._args and self._state is ParserState.TOOL_NAME:
            return self._start_arguments()
        if token == self._think and not is_in_tool_call:
            self._state = ParserState.REASONING
        elif token == self._end_think and not is_in_tool_call:
            self._state = ParserState.CONTENT
        return []

    def _on_name_text(self, text: str) -> list[Event]:
        name, brace, rest = text.partition("{")
        self._tool_name.append(name)
        if not brace:
            return []
        return self._start_arguments() + self._on_arguments(brace + rest)

    def _start_arguments(self) -> list[Event]:
        """The name is whole: announce the call under a fresh id."""
        name = "".join(self._tool_name).strip()
        self._tool_name = []
        self._tool_index += 1
        self._has_arguments = False
        self._state = ParserState.TOOL_ARGUMENTS
        return [ToolCallDelta(self._tool_index, self._new_id(), name, "")]

    def _on_arguments(self, text: str) -> list[Event]:
        self._has_arguments = self._has_arguments or not text.isspace()
        return [ToolCallDelta(self._tool_index, None, None, text)]

    def _end_tool_call(self) -> list[Event]:
        """Complete an open call: one without arguments gets ``{}``, one without a name is none."""
        events: list[Event] = []
        if self._state is ParserState.TOOL_NAME and "".join(self._tool_name).strip():
            events += self._start_arguments()
        if self._state is ParserState.TOOL_ARGUMENTS and not self._has_arguments:
            events += self._on_arguments("{}")
        return events

    def _new_id(self) -> str:
        return "".join(self._id_source.choices(_ID_CHARACTERS, k=_ID_LENGTH))
