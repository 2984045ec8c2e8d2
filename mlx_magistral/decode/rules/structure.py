"""From what a caller wants of an answer (a schema, tools, a tool choice) to the rule for it."""

from collections.abc import Callable, Sequence
from typing import Any

from mlx_magistral.decode.rules.control import ControlOptions, think_tokens
from mlx_magistral.decode.rules.grammar import CallGrammar, Grammar, Masked, answer_grammar
from mlx_magistral.decode.rules.guidance import Guidance, make_matcher
from mlx_magistral.decode.rules.logits_processors import Ban, LogitsProcessor
from mlx_magistral.decode.rules.steering import Place, Rule, Verdict
from mlx_magistral.decode.rules.wind_down import WindDown
from mlx_magistral.errors import MissingExtraError, UsageError
from mlx_magistral.text.prompt import Thinking
from mlx_magistral.text.tokenizer import Tokenizer


class NoCalls:
    """Tools are in the prompt and must not be called."""

    must_see_id = False

    def __init__(self, tool_calls: int) -> None:
        self.processors: tuple[LogitsProcessor, ...] = (Ban(tool_calls),)

    def feed(self, token: int, place: Place) -> Verdict | None:
        """Nothing changes with the ids."""
        return None


def structure_rules(
    options: ControlOptions,
    tokenizer: Tokenizer,
    tools: Sequence[dict[str, Any]],
    thinking: Thinking,
    guidance: Callable[[], Guidance],
    max_tokens: int,
) -> list[Rule]:
    """The rules that a schema, tools and tool_choice ask for; none for free text.

    ``tools`` are OpenAI dicts. With tool_choice auto the text is free and calls are held to the
    tools, unless the extra is missing; what of a tool's parameters cannot be enforced is left to
    the model there, except where the tool is ``strict``. An answer or call is whole within
    ``max_tokens`` ids of the reply if it can be. Raises UsageError, MissingExtraError.
    """
    functions = _chosen(options.tool_choice, [tool["function"] for tool in tools])
    schema = options.answer_schema
    tool_calls = tokenizer.control_id("[TOOL_CALLS]")
    is_auto = options.tool_choice == "auto"
    if options.tool_choice == "none" and schema is None:
        return [NoCalls(tool_calls)]
    if schema is not None and options.tool_choice not in ("auto", "none"):
        raise UsageError(
            f"A schema for the answer does not go with tool_choice {options.tool_choice!r}: the "
            "answer would be a call. Use auto."
        )
    if schema is None and not functions:
        return []
    grammar = answer_grammar(
        tokenizer,
        schema=schema,
        calls=functions,
        is_parallel=options.parallel_tool_calls,
        is_lenient=is_auto,
    )
    if schema is None and is_auto:
        try:
            masked = _masked(grammar, guidance(), tokenizer, max_tokens)
        except MissingExtraError:
            return []
        return [CallGrammar(masked, tool_calls)]
    return [
        Grammar(
            _masked(grammar, guidance(), tokenizer, max_tokens),
            think_tokens(options, tokenizer),
            tokenizer.control_count,
            in_reasoning=thinking == "force",
            may_think=thinking == "auto",
        )
    ]


def _masked(grammar: str, guidance: Guidance, tokenizer: Tokenizer, max_tokens: int) -> Masked:
    matcher = make_matcher(grammar, guidance.vocabulary)
    ahead = make_matcher(grammar, guidance.bytewise)
    return Masked(matcher, WindDown(ahead, guidance, tokenizer, max_tokens), tokenizer.eos_id)


def _chosen(choice: str, functions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The functions that may be called."""
    if choice == "none":
        return []
    if choice == "auto":
        return functions
    if not functions:
        raise UsageError(f"tool_choice is {choice!r} and there are no tools.")
    if choice == "required":
        return functions
    named = [function for function in functions if function["name"] == choice]
    if not named:
        names = ", ".join(function["name"] for function in functions)
        raise UsageError(f"tool_choice {choice!r} is none of the tools: {names}.")
    return named
