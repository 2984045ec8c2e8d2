"""The answer obeys a grammar and the thinking stays free: JSON schemas, tool names and arguments.

mistral-common's own grammar for v13 refuses [THINK] where JSON is asked for. Here the grammar
covers the answer alone, and the reply's state machine says when that begins, so that thinking
costs no mask at all. llguidance parses (guidance.py).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mlx.core as mx

from mlx_magistral.decode.rules.json_rules import TERMINALS, JsonRules
from mlx_magistral.decode.rules.logits_processors import BanControls, LogitsProcessor
from mlx_magistral.decode.rules.schema import held_schema, json_text
from mlx_magistral.decode.rules.steering import Act, Place, ThinkTokens, Verdict
from mlx_magistral.decode.rules.wind_down import WindDown
from mlx_magistral.events import FinishReason, Limit
from mlx_magistral.text.json_schema import listed
from mlx_magistral.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher

# With forcing on, llguidance lets through text that has no alternative in one spelling only: the
# one its tokenizer gives, glued to a marker. Where a word is one id without the merges up to it,
# as in nano, that is letter by letter. Off, every id whose bytes keep the text legal can be drawn.
_OPTIONS = '%llguidance {"no_forcing": true}'
_WORD_BITS = 32

# Control characters that JSON has no letter for.
_NO_CONTROLS = r"^[^\x{0}-\x{7}\x{b}\x{e}-\x{1f}\x{7f}]*$"


@dataclass(frozen=True, eq=False)
class GrammarMask:
    """Only ids whose bit is set can be drawn; bits in words of 32, lowest id first."""

    words: mx.array  # uint32 (at least vocab / 32,)

    def __call__(self, logits: mx.array) -> mx.array:
        bits = (self.words[:, None] >> mx.arange(_WORD_BITS, dtype=mx.uint32)) & 1
        is_allowed = bits.reshape(-1)[: logits.shape[-1]] == 1
        return mx.where(is_allowed, logits, -mx.inf)


class Masked:
    """Consumes ids of an answer, has it wound down in time, and makes the mask of the next id."""

    def __init__(self, matcher: "LLMatcher", wind_down: WindDown, eos_id: int) -> None:
        self._matcher = matcher
        self._wind_down = wind_down
        self._eos_id = eos_id

    def feed(self, token: int, *, is_answer: bool) -> None:
        """Take any id of the reply; those that are not of the answer are only counted."""
        self._wind_down.feed(token, is_answer=is_answer)
        if is_answer:
            is_taken = self._matcher.consume_token(token)
            assert is_taken or self._matcher.is_stopped(), self._matcher.get_error()

    def verdict(self, token: int) -> Verdict | None:
        """After an id of the answer, and before ``mask``."""
        if token == self._eos_id:
            if not self._wind_down.has_acted:
                return None
            return Verdict(Act.END, Limit.MAX_TOKENS, FinishReason.LENGTH)
        ending = self._wind_down.next()
        return Verdict(Act.WRITE, tokens=ending) if ending else None

    def mask(self, extra: Sequence[int] = ()) -> GrammarMask:
        """What may come next: what the grammar allows and the wind-down leaves, or ``extra``."""
        words = bytearray(self._matcher.compute_bitmask())
        only = [token for token in self._wind_down.only if _has(words, token)]
        if only:
            words = bytearray(len(words))
        for token in (*only, *extra):
            words[token // 8] |= 1 << token % 8
        return GrammarMask(mx.array(memoryview(words).cast("I")))  # type: ignore[arg-type]


class Grammar:
    """Masks the answer by a matcher, which sees the ids of the answer and none of the thinking.

    ``may_think`` lets [THINK] through in front of the answer, once.
    """

    def __init__(
        self,
        masked: Masked,
        think: ThinkTokens,
        control_count: int,
        *,
        in_reasoning: bool,
        may_think: bool,
    ) -> None:
        self._masked = masked
        self._think = think
        self._may_think = may_think
        self._thinking_only: tuple[LogitsProcessor, ...] = (
            BanControls(control_count, (think.close,)),
        )
        self.must_see_id = False
        self.processors: tuple[LogitsProcessor, ...] = ()
        self._follow(in_reasoning)

    def feed(self, token: int, place: Place) -> Verdict | None:
        """Take the id in and prepare the mask of the next one."""
        is_answer = not place.is_thinking and token not in (self._think.open, self._think.close)
        self._masked.feed(token, is_answer=is_answer)
        self._may_think = False
        verdict = None if place.is_thinking else self._masked.verdict(token)
        self._follow(place.is_thinking)
        return verdict

    def _follow(self, is_thinking: bool) -> None:
        self.must_see_id = not is_thinking
        if is_thinking:
            self.processors = self._thinking_only
            return
        extra = (self._think.open,) if self._may_think else ()
        self.processors = (self._masked.mask(extra),)


class CallGrammar:
    """Leaves the text alone and masks from [TOOL_CALLS] on, so that plain text costs nothing."""

    def __init__(self, masked: Masked, tool_calls: int) -> None:
        self._masked = masked
        self._tool_calls = tool_calls
        self.must_see_id = False
        self.processors: tuple[LogitsProcessor, ...] = ()

    def feed(self, token: int, place: Place) -> Verdict | None:
        """Begin with the first call, then take each id in."""
        self.must_see_id = self.must_see_id or token == self._tool_calls
        self._masked.feed(token, is_answer=self.must_see_id)
        if not self.must_see_id:
            return None
        verdict = self._masked.verdict(token)
        self.processors = (self._masked.mask(),)
        return verdict


def _has(words: bytearray, token: int) -> bool:
    return bool(words[token // 8] >> token % 8 & 1)


@dataclass(frozen=True)
class AnswerForm:
    """What an answer may be: JSON under ``schema``, or calls of functions, whichever are given.

    A call is an OpenAI function: its name and the JSON schema of its parameters. ``is_parallel``
    allows several. ``is_lenient`` leaves out what of the parameters cannot be enforced, except
    where the function is ``strict``, and ``is_schema_lenient`` what of the schema cannot.
    """

    schema: dict[str, Any] | None = None
    calls: Sequence[dict[str, Any]] = ()
    is_parallel: bool = True
    is_lenient: bool = False
    is_schema_lenient: bool = False


def answer_grammar(tokenizer: Tokenizer, **form: Any) -> str:
    """The grammar, in llguidance's language, of an AnswerForm with these fields."""
    return form_grammar(tokenizer, AnswerForm(**form))


def form_grammar(
    tokenizer: Tokenizer, form: AnswerForm, holds: Callable[[str], bool] | None = None
) -> str:
    """The grammar of a form.

    ``holds`` says whether a grammar compiles; with it, a part that does not is replaced where the
    form is lenient.
    """
    leaves = _Leaves(holds)
    rules = JsonRules(leaves.make)
    lines, starts = [], []
    if form.schema is not None:
        starts.append("answer")
        leaves.is_lenient = form.is_schema_lenient
        name = rules.add(held_schema(form.schema, is_lenient=leaves.is_lenient))
        lines.append(f"answer: SPACE? {name}")
    if form.calls:
        starts.append("call+" if form.is_parallel else "call")
        lines.append("call: " + " | ".join(f"call_{index}" for index in range(len(form.calls))))
    open_call, args = (f"<[{tokenizer.control_id(n)}]>" for n in ("[TOOL_CALLS]", "[ARGS]"))
    for index, call in enumerate(form.calls):
        parameters = {"type": "object", **(call.get("parameters") or {})}
        leaves.is_lenient = form.is_lenient and not call.get("strict")
        name = rules.add(held_schema(parameters, is_lenient=leaves.is_lenient))
        lines.append(f"call_{index}: {open_call} {json.dumps(call['name'])} {args} SPACE? {name}")
    start = f"start: {' | '.join(starts)}"
    space = "SPACE: /[ \\t\\r\\n]{1,8}/\n"
    return "\n".join([_OPTIONS, start, *lines, *rules.lines, TERMINALS, space])


class _Leaves:
    """Makes the parts that llguidance's own ``%json`` holds an answer to."""

    def __init__(self, holds: Callable[[str], bool] | None) -> None:
        self.is_lenient = False
        self._holds = holds

    def make(self, schema: dict[str, Any]) -> str:
        """The part, or where it may and must be another: any value of its type."""
        if "pattern" in schema:
            # A \\u that is begun would be held to a control character.
            schema = {**schema, "allOf": [*listed(schema, "allOf"), {"pattern": _NO_CONTROLS}]}
        part = f"%json {json_text(schema, is_lenient=self.is_lenient)}"
        if not self.is_lenient or self._holds is None:
            return part
        if self._holds(f"{_OPTIONS}\nstart: {part}\n"):
            return part
        kinds = schema.get("type")
        anything = {"type": kinds} if self._is_kind(kinds) else {}
        return "STRING" if kinds == "string" else f"%json {json_text(anything, is_lenient=True)}"

    def _is_kind(self, kinds: Any) -> bool:
        assert self._holds is not None
        text = json_text({"type": kinds}, is_lenient=True)
        return kinds is not None and self._holds(f"{_OPTIONS}\nstart: %json {text}\n")
