"""What request bodies share: the rule for fields, sampling, and what they become for the backend.

Every body names what it honours; tolerance.py says what becomes of all other fields. Names of other
APIs for a field of ours are read as ours.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)

from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.text.tolerance import Note, known_fields

Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=2**31)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
StopText = Annotated[str, Field(max_length=1000)]
Stop = StopText | Annotated[list[StopText], Field(max_length=16)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Bias = Annotated[float, Field(ge=-100, le=100)]
Replies = Annotated[int, Field(ge=1, le=16)]

_SAMPLING = (
    *("temperature", "top_p", "top_k", "min_p", "seed"),
    *("repetition_penalty", "frequency_penalty", "presence_penalty"),
)
_GO_ON = "Continue."
_MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")

# Mistral's, llama.cpp's, Ollama's and Qwen's names.
_OTHER_NAMES = {
    "random_seed": "seed",
    "repeat_penalty": "repetition_penalty",
    "num_predict": "max_tokens",
    "n_predict": "max_tokens",
    "enable_thinking": "think",
    "thinking_budget": "thinking_token_budget",
}
# Where -1 is a way to say that there is no limit, or no seed.
_UNLIMITED = ("max_tokens", "max_completion_tokens", "max_output_tokens", "top_k", "seed")


class Body(BaseModel):
    """A request body, or an object in one: exact types, and the rule for all other fields."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)
    # Where the object stands in the body, for errors: "reasoning." for what is inside it.
    place: ClassVar[str] = ""
    # Whether it is a whole body that a reply is asked for by: not one that only counts.
    asks_for_a_reply: ClassVar[bool] = False
    _ignored: list[str] = PrivateAttr(default_factory=list)

    @model_validator(mode="wrap")
    @classmethod
    def _sort_out(
        cls, given: Any, check: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        ignored: list[str] = [] if info.context is None else info.context
        if isinstance(given, Mapping):
            fields = cls._reworded(given)
            given = known_fields(
                fields,
                cls.model_fields,
                ignored.append,
                cls.place,
                asks_for_a_reply=cls.asks_for_a_reply,
            )
        body = check(given)
        body._ignored = ignored
        return body

    @property
    def note(self) -> Note:
        """Takes the names of what the request says and nobody listens to."""
        return self._ignored.append

    @classmethod
    def _reworded(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The fields under our names."""
        return given


class Sampled(Body):
    """Sampling, with vLLM's names for what OpenAI's API lacks."""

    asks_for_a_reply: ClassVar[bool] = True
    model: str
    temperature: Temperature | None = None
    top_p: TopP | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31)] | None = None
    min_p: Annotated[float, Field(ge=0, lt=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: Annotated[dict[str, Bias], Field(max_length=1024)] | None = None
    seed: Seed | None = None
    stream: bool | None = None

    @classmethod
    def _reworded(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return our_names(given)

    def sampling(self) -> dict[str, Any]:
        """The options that were given."""
        given = {name: getattr(self, name) for name in _SAMPLING}
        if self.logit_bias is not None:
            given["logit_bias"] = _by_id(self.logit_bias)
        return {name: value for name, value in given.items() if value is not None}


class StreamOptions(Body):
    """What a stream carries beside the reply."""

    place: ClassVar[str] = "stream_options."
    include_usage: bool | None = None


def our_names(given: Mapping[str, Any]) -> dict[str, Any]:
    """A body under our names: other APIs' words, Ollama's ``options``, and -1 for no limit."""
    inner = given.get("options")
    fields = {**inner, **given} if isinstance(inner, Mapping) else dict(given)
    if isinstance(inner, Mapping):
        del fields["options"]
    for other, name in _OTHER_NAMES.items():
        if other in fields:
            value = fields.pop(other)
            if fields.get(name) is None:
                fields[name] = value
    return {name: value for name, value in fields.items() if not _is_unlimited(name, value)}


def _by_id(biases: Mapping[str, float]) -> dict[int, float]:
    """The biases by the ids that their keys name; raises ApiError."""
    for token in biases:
        if not (token.isascii() and token.isdigit() and len(token) < 10):
            raise ApiError(
                400, f"Field 'logit_bias': {token!r} is no token id.", "invalid_value", "logit_bias"
            )
    return {int(token): bias for token, bias in biases.items()}


def _is_unlimited(name: str, value: Any) -> bool:
    return name in _UNLIMITED and value == -1


def stops(stop: str | list[str] | None) -> tuple[str, ...]:
    """The stop strings as a tuple; an empty one, which some forms send, stops nothing."""
    texts = [stop] if isinstance(stop, str) else stop or []
    return tuple(text for text in texts if text)


def with_question(chat: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The chat, with a user's turn where it ends in a whole turn of the assistant.

    Clients that have summarized a conversation ask so for a further turn. Mistral's template has
    none without a user's before it.
    """
    last = chat[-1] if chat else {}
    said = last.get("content") or last.get("reasoning") or last.get("reasoning_content")
    if last.get("role") != "assistant" or not said or last.get("prefix") or last.get("tool_calls"):
        return chat
    return [*chat, {"role": "user", "content": _GO_ON}]


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
            return {"schema": schema, "strict_schema": described.get("strict") is True}
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
