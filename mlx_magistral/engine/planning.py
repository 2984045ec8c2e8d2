"""plan_reply: what a caller asks for, checked and made into ids, before anything is computed."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mlx_magistral.decode.rules.control import ControlOptions
from mlx_magistral.decode.rules.guidance import Guidance
from mlx_magistral.decode.rules.structure import answer_check, structure_rules
from mlx_magistral.decode.sampling import SamplingOptions
from mlx_magistral.decode.speculation.drafts import SpeculateOption
from mlx_magistral.engine.progress import ReplyPlan
from mlx_magistral.errors import ContextLengthError, UsageError
from mlx_magistral.options import require_call, require_switch, require_whole
from mlx_magistral.text.functions import openai_tools
from mlx_magistral.text.raw_prompt import raw_prompt
from mlx_magistral.text.tokenizer import Tokenizer

Messages = str | Sequence[Any]
Prompt = str | Sequence[int]

# Keywords that no class of options has as a field.
_OWN = frozenset("raw_system thinking max_tokens stop logprobs speculate on_prefill".split())


class Planning(Protocol):
    """Of a loaded model, what replies are planned with."""

    tokenizer: Tokenizer

    @property
    def context_tokens(self) -> int:
        """Prompt and reply together."""

    def guidance(self) -> Guidance:
        """The vocabulary for grammars."""


def plan_reply(
    loaded: Planning,
    messages: Messages | None,
    prompt: Prompt | None,
    tools: Sequence[Any] | None,
    options: Mapping[str, Any],
) -> ReplyPlan:
    """Check everything and make the prompt's ids; ``options`` are ReplyOptions and a ``schema``.

    Raises PromptError, ContextLengthError, UsageError and MissingExtraError.
    """
    own = {name: options[name] for name in options.keys() & _OWN}
    sampling, control = _split({name: options[name] for name in options.keys() - _OWN})
    sampling.require_ids(loaded.tokenizer.vocab_size)
    _check(own)
    thinking = own.get("thinking", "auto")
    begun = None if messages is None else loaded.tokenizer.begun_part(messages)
    if control.think_budget == 0:
        if thinking == "force":
            raise UsageError("think_budget=0 skips the thinking, so it cannot be forced.")
        thinking = "auto" if begun else "skip"
    schemas = openai_tools(tools)
    if prompt is not None:
        if messages is not None or schemas:
            raise UsageError("A raw prompt takes no messages and no tools.")
        tokens, thinking = raw_prompt(prompt, loaded.tokenizer, thinking)
    else:
        tokens = loaded.tokenizer.encode_chat(
            "" if messages is None else messages,
            tools=schemas,
            raw_system=own.get("raw_system", False),
            thinking=thinking,
        )
    limit = _room_for_reply(loaded.context_tokens, len(tokens), own.get("max_tokens"))
    rules = structure_rules(control, loaded.tokenizer, schemas, thinking, loaded.guidance, limit)
    if begun and (control.answer_schema or control.tool_choice not in ("auto", "none")):
        raise UsageError(
            "Answers under a schema or a tool choice start at their beginning: leave out the "
            "assistant message that is a prefix."
        )
    return ReplyPlan(
        tokens,
        sampling,
        control,
        limit,
        thinking == "force" or begun == "thinking",
        rules,
        _as_tuple(own.get("stop", ())),
        own.get("logprobs"),
        SpeculateOption.parse(own.get("speculate", "auto")),
        answer_check(control, schemas),
    )


def _check(own: Mapping[str, Any]) -> None:
    require_switch("raw_system", own.get("raw_system", False))
    require_call("on_prefill", own.get("on_prefill"))
    if own.get("thinking", "auto") not in ("auto", "force", "skip"):
        raise UsageError(f"thinking must be auto, force or skip, not {own['thinking']!r}.")
    if own.get("max_tokens") is not None:
        require_whole("max_tokens", own["max_tokens"])
        if own["max_tokens"] < 1:
            raise UsageError(f"max_tokens must be 1 or more, not {own['max_tokens']}.")


def _room_for_reply(context_tokens: int, prompt_tokens: int, max_tokens: int | None) -> int:
    """How many ids the reply may have; raises ContextLengthError."""
    room = context_tokens - prompt_tokens
    if room < 1:
        raise ContextLengthError(prompt_tokens, context_tokens)
    return room if max_tokens is None else min(max_tokens, room)


def _as_tuple(stop: object) -> tuple[Any, ...]:
    """One stop string or several; what they hold is checked where they are used."""
    if isinstance(stop, str):
        return (stop,)
    if not isinstance(stop, Sequence):
        raise UsageError(f"stop must be a text or a list of texts, not {stop!r}.")
    return tuple(stop)


def _split(options: Mapping[str, Any]) -> tuple[SamplingOptions, ControlOptions]:
    """The keywords by the class that has them as a field."""
    sampling = SamplingOptions.__dataclass_fields__.keys()
    control = ControlOptions.__dataclass_fields__.keys()
    for name in sorted(options.keys() - sampling - control):
        known = ", ".join(sorted([*sampling, *control, *_OWN]))
        raise UsageError(f"Unknown option {name}. Known are {known}.")
    return (
        SamplingOptions(**{name: options[name] for name in options.keys() & sampling}),
        ControlOptions(**{name: options[name] for name in options.keys() & control}),
    )
