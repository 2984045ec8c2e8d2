"""From what a caller wants of an answer (a schema, tools, a tool choice) to the rule for it."""

from collections.abc import Callable, Sequence
from typing import Any

from mlx_magistral.decode.rules.check import AnswerCheck
from mlx_magistral.decode.rules.control import ControlOptions, think_tokens
from mlx_magistral.decode.rules.grammar import (
    AnswerForm,
    CallGrammar,
    Grammar,
    Masked,
    form_grammar,
)
from mlx_magistral.decode.rules.guidance import Guidance, compiles, make_matcher
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
    tools, unless the extra is missing. What of a tool's parameters cannot be enforced is left to
    the model, except where the tool is ``strict``; so it is with a schema that is not. An answer
    or call is whole within ``max_tokens`` ids of the reply if it can be. Raises UsageError,
    MissingExtraError.
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
    form = AnswerForm(
        schema=schema,
        calls=functions,
        is_parallel=options.parallel_tool_calls,
        is_lenient=True,
        is_schema_lenient=not options.strict_schema,
    )
    if schema is None and is_auto:
        try:
            masked = _masked(form, guidance(), tokenizer, max_tokens)
        except MissingExtraError:
            return []
        return [CallGrammar(masked, tool_calls)]
    return [
        Grammar(
            _masked(form, guidance(), tokenizer, max_tokens),
            think_tokens(options, tokenizer),
            tokenizer.control_count,
            in_reasoning=thinking == "force",
            may_think=thinking == "auto",
        )
    ]


def answer_check(options: ControlOptions, tools: Sequence[dict[str, Any]]) -> AnswerCheck | None:
    """What the finished answer is checked by; None where the grammar holds it to everything."""
    functions = [tool["function"] for tool in tools if not tool["function"].get("strict")]
    schema = None if options.strict_schema or options.json_mode else options.schema
    if options.tool_choice == "none":
        functions = []
    return AnswerCheck(schema, functions) if functions or schema is not None else None


def _masked(form: AnswerForm, guidance: Guidance, tokenizer: Tokenizer, max_tokens: int) -> Masked:
    grammar = form_grammar(tokenizer, form)
    try:
        ahead = make_matcher(grammar, guidance.bytewise)
    except UsageError:
        # Which part it is costs a look at each: not before it has to be known.
        grammar = form_grammar(tokenizer, form, lambda part: compiles(part, guidance.bytewise))
        ahead = make_matcher(grammar, guidance.bytewise)
    matcher = make_matcher(grammar, guidance.vocabulary)
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
