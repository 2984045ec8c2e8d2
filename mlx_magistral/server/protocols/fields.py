"""Fields that several request bodies share, and what they become for the backend.

Every body forbids fields it does not name. Fields that change nothing here are named and ignored;
fields that would change the reply and cannot be honoured are accepted at their neutral value only.
"""

import re
from hashlib import sha256
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlx_magistral.server.api_errors import ApiError

Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=2**31)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
StopText = Annotated[str, Field(min_length=1, max_length=1000)]
Stop = StopText | Annotated[list[StopText], Field(max_length=16)]
Budget = Annotated[int, Field(ge=0, le=2**31)]
# A penalty that does nothing: what SDKs send by habit.
Neutral = Annotated[float, Field(ge=0, le=0)]
Replies = Annotated[int, Field(ge=1, le=16)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

# Tokens of thinking for an effort; from high on the thinking takes what it needs.
EFFORT_BUDGETS = {"none": 0, "minimal": 512, "low": 2048, "medium": 8192}

_MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")


class Body(BaseModel):
    """A request body: exact types, no field that is not named."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Sampled(Body):
    """Sampling, with vLLM's names for what OpenAI's API lacks."""

    model: str
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31)] | None = None
    min_p: Annotated[float, Field(ge=0, lt=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    seed: Seed | None = None
    stream: bool | None = None

    def sampling(self) -> dict[str, Any]:
        """The options that were given."""
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


class OpenAIBody(Sampled):
    """What OpenAI's clients send along that changes nothing here."""

    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    prompt_cache_retention: Any = None


class StreamOptions(Body):
    """What a stream carries beside the reply."""

    include_usage: bool | None = None
    include_obfuscation: Any = None


def stops(stop: str | list[str] | None) -> tuple[str, ...]:
    """The stop strings as a tuple."""
    if stop is None:
        return ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def budget_options(budget: int | None, effort: str | None) -> dict[str, Any]:
    """A budget by number, else by effort, else none."""
    if budget is None and effort is not None:
        budget = EFFORT_BUDGETS.get(effort)
    return {} if budget is None else {"think_budget": budget}


def format_options(form: dict[str, Any] | None, param: str) -> dict[str, Any]:
    """``response_format`` (or ``text.format``) as options; raises ApiError."""
    kind = None if form is None else form.get("type")
    if form is None or kind == "text":
        return {}
    if kind == "json_object":
        return {"json_mode": True}
    if kind == "json_schema":
        described = form.get("json_schema", form)
        schema = described.get("schema") if isinstance(described, dict) else None
        if isinstance(schema, dict):
            return {"schema": schema}
        raise ApiError(400, f"Field '{param}' has no schema.", "invalid_value", param)
    raise ApiError(
        400,
        f"Field '{param}' must be of type text, json_object or json_schema.",
        "invalid_value",
        param,
    )


def mistral_id(given: Any) -> Any:
    """A tool call's id as the tokenizer wants it: 9 characters; another API's id is hashed."""
    if not isinstance(given, str) or _MISTRAL_ID.fullmatch(given):
        return given
    return sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:9]
