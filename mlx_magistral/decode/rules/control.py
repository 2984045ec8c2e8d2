"""What a caller can ask of a reply beside how ids are drawn, and the rules that follow from it."""

from dataclasses import dataclass
from typing import Any

from mlx_magistral.decode.rules.answer_now import AnswerNow
from mlx_magistral.decode.rules.asked import Asked
from mlx_magistral.decode.rules.budget import ThinkBudget, thinking_room
from mlx_magistral.decode.rules.loop_guard import LoopGuard, OnLoop
from mlx_magistral.decode.rules.steering import Rule, ThinkTokens
from mlx_magistral.errors import UsageError
from mlx_magistral.events import Limit
from mlx_magistral.options import require_switch, require_text, require_whole
from mlx_magistral.text.tokenizer import Tokenizer

CLOSING_PHRASE = "\n\nThat is enough thinking, I will answer now.\n"


@dataclass(frozen=True, kw_only=True)
class ControlOptions:
    """How long it may think and what ends it.

    ``think_budget`` bounds the ids of thinking, 0 skips it, None leaves all that max_tokens has
    room for. ``think_close`` is the text put before a forced [/THINK]. ``schema`` is a JSON schema
    that the answer obeys, ``json_mode`` any JSON object. What of a schema cannot be enforced is
    refused; with ``strict_schema=False`` it is left to the model and the answer is checked.
    ``tool_choice`` is auto, none, required or the name of a tool; ``parallel_tool_calls=False``
    allows one call a reply. Raises UsageError.
    """

    think_budget: int | None = None
    think_close: str = CLOSING_PHRASE
    on_loop: str = OnLoop.CLOSE
    schema: dict[str, Any] | None = None
    json_mode: bool = False
    strict_schema: bool = True
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True

    def __post_init__(self) -> None:
        if self.think_budget is not None:
            require_whole("think_budget", self.think_budget)
        require_text("think_close", self.think_close)
        require_text("tool_choice", self.tool_choice)
        for name in ("json_mode", "strict_schema", "parallel_tool_calls"):
            require_switch(name, getattr(self, name))
        if self.think_budget is not None and self.think_budget < 0:
            raise UsageError(f"think_budget must be 0 or more, not {self.think_budget}.")
        if self.on_loop not in list(OnLoop):
            raise UsageError(f"on_loop must be {', '.join(OnLoop)}, not {self.on_loop!r}.")
        if self.schema is not None and not isinstance(self.schema, dict):
            raise UsageError(f"schema must be a JSON object, not {type(self.schema).__name__}.")
        if self.json_mode and self.schema is not None:
            raise UsageError("schema and json_mode exclude each other. Give the schema alone.")

    @property
    def answer_schema(self) -> dict[str, Any] | None:
        """What the answer has to be, None for free text."""
        return {"type": "object"} if self.json_mode else self.schema


def think_tokens(options: ControlOptions, tokenizer: Tokenizer) -> ThinkTokens:
    """The ids that closing the thinking needs."""
    return ThinkTokens(
        open=tokenizer.control_id("[THINK]"),
        close=tokenizer.control_id("[/THINK]"),
        phrase=tuple(tokenizer.encode(options.think_close)),
    )


def make_rules(
    options: ControlOptions,
    tokenizer: Tokenizer,
    *,
    prompt: list[int],
    max_tokens: int,
    answer_now: AnswerNow,
) -> list[Rule]:
    """The rules in the order in which their verdicts count."""
    think = think_tokens(options, tokenizer)
    rules: list[Rule] = [answer_now]
    budget, limit = options.think_budget, Limit.THINK_BUDGET
    room = thinking_room(max_tokens, think)
    if room is not None and (budget is None or room < budget):
        budget, limit = room, Limit.MAX_TOKENS
    if budget is not None:
        rules.append(ThinkBudget(budget, limit, think, tokenizer.id_to_bytes))
    if options.on_loop != OnLoop.OFF:
        words = _asked_words(prompt, tokenizer)
        asked = Asked(words, lambda: tokenizer.decode(prompt), options.answer_schema)
        rules.append(LoopGuard(OnLoop(options.on_loop), asked, tokenizer.id_to_bytes))
    return rules


def _asked_words(prompt: list[int], tokenizer: Tokenizer) -> str:
    """The text of the system prompt and of every [INST] block: "go on" asks for what came first."""
    control_id = tokenizer.control_id
    spans = {
        control_id("[SYSTEM_PROMPT]"): control_id("[/SYSTEM_PROMPT]"),
        control_id("[INST]"): control_id("[/INST]"),
    }
    parts: list[list[int]] = []
    end: int | None = None
    for token in prompt:
        if token in spans:
            end = spans[token]
            parts.append([])
        elif token == end:
            end = None
        elif end is not None:
            parts[-1].append(token)
    return "\n".join(map(tokenizer.decode, parts))
