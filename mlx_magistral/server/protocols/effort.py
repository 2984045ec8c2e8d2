"""How much a client wants the model to think, in all the ways that clients say it."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from mlx_magistral.server.protocols.fields import Body

Budget = Annotated[int, Field(ge=0, le=2**31)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "auto", "default"]

# Tokens of thinking for an effort; otherwise the thinking takes what it needs.
EFFORT_BUDGETS = {"none": 0, "minimal": 512, "low": 2048, "medium": 8192}


class Reasoning(Body):
    """OpenAI's and OpenRouter's object; what it says of summaries is true of every reply here."""

    place: ClassVar[str] = "reasoning."
    effort: Effort | None = None
    max_tokens: Budget | None = None
    enabled: bool | None = None
    exclude: Literal[False] | None = None

    @property
    def budget(self) -> int | None:
        """Tokens of thinking; None is no bound."""
        if self.enabled is False:
            return 0
        return self.max_tokens if self.max_tokens is not None else _budget_of(self.effort)


class Thinking(Body):
    """Anthropic's object; absent, Magistral thinks as it likes."""

    place: ClassVar[str] = "thinking."
    type: Literal["enabled", "disabled", "adaptive", "auto"]
    budget_tokens: Budget | None = None

    @property
    def budget(self) -> int | None:
        """Tokens of thinking; None is no bound."""
        return 0 if self.type == "disabled" else self.budget_tokens


class TemplateOptions(Body):
    """vLLM's arguments of a chat template; Magistral's template knows of no others."""

    place: ClassVar[str] = "chat_template_kwargs."
    enable_thinking: bool | None = None
    thinking: bool | None = None
    thinking_budget: Budget | None = None
    reasoning_effort: Effort | None = None

    @property
    def budget(self) -> int | None:
        """Tokens of thinking; None is no bound."""
        if self.enable_thinking is False or self.thinking is False:
            return 0
        budget = self.thinking_budget
        return budget if budget is not None else _budget_of(self.reasoning_effort)


_Said = int | str | Reasoning | Thinking | TemplateOptions | None


def budget_options(*said: _Said) -> dict[str, Any]:
    """The first of these that sets a budget, as an option: a number, an effort or an object."""
    for each in said:
        if isinstance(each, str):
            budget = _budget_of(each)
        else:
            budget = each if each is None or isinstance(each, int) else each.budget
        if budget is not None:
            return {"think_budget": budget}
    return {}


def with_think(given: Mapping[str, Any]) -> dict[str, Any]:
    """Ollama's ``think`` (true, false or an effort) as ``reasoning_effort``."""
    fields = dict(given)
    think = fields.pop("think", None)
    if think is not None and fields.get("reasoning_effort") is None:
        words = {True: "auto", False: "none"}
        fields["reasoning_effort"] = words[think] if isinstance(think, bool) else think
    return fields


def _budget_of(effort: str | None) -> int | None:
    return None if effort is None else EFFORT_BUDGETS.get(effort)
