"""What a chat request may say, and what the backend is asked for."""

from typing import Annotated, Any, Literal

from pydantic import Field

from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.backend import GenerationRequest
from mlx_magistral.server.protocols import fields


class ChatBody(fields.OpenAIBody):
    """The fields of a chat request; the last ones are accepted and change nothing."""

    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    stop: fields.Stop | None = None
    n: fields.Replies | None = None
    max_tokens: fields.Count | None = None
    max_completion_tokens: fields.Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stream_options: fields.StreamOptions | None = None
    thinking_token_budget: fields.Budget | None = None
    timings_per_token: bool | None = None
    return_progress: bool | None = None
    reasoning_effort: fields.Effort | None = None
    frequency_penalty: fields.Neutral | None = None
    presence_penalty: fields.Neutral | None = None
    logit_bias: Annotated[dict[str, Any], Field(max_length=0)] | None = None
    modalities: list[Literal["text"]] | None = None
    verbosity: Any = None

    def to_request(self) -> GenerationRequest:
        """What the backend is asked for."""
        options = self.sampling()
        options |= fields.budget_options(self.thinking_token_budget, self.reasoning_effort)
        options |= fields.format_options(self.response_format, "response_format")
        logprobs = None
        if self.logprobs:
            logprobs = self.top_logprobs or 0
        elif self.top_logprobs:
            raise ApiError(
                400, "Field 'top_logprobs' needs logprobs: true.", "invalid_value", "top_logprobs"
            )
        return GenerationRequest(
            messages=[_with_mistral_ids(message) for message in self.messages],
            tools=self.tools or None,
            tool_choice=chosen_tool(self.tool_choice),
            parallel_tool_calls=self.parallel_tool_calls is not False,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=fields.stops(self.stop),
            logprobs=logprobs,
            options=options,
        )


def chosen_tool(choice: str | dict[str, Any] | None) -> str:
    """``auto``, ``none``, ``required`` or a tool's name."""
    if choice is None:
        return "auto"
    if isinstance(choice, str):
        if choice in ("auto", "none", "required"):
            return choice
    else:
        function = choice.get("function", choice)
        name = function.get("name") if isinstance(function, dict) else None
        if choice.get("type") == "function" and isinstance(name, str) and name:
            return name
    raise ApiError(
        400,
        "Field 'tool_choice' must be auto, none, required or a function by name.",
        "invalid_value",
        "tool_choice",
    )


def _with_mistral_ids(message: dict[str, Any]) -> dict[str, Any]:
    """The message with ids the tokenizer takes, and without what says nothing to the model."""
    changed = {key: value for key, value in message.items() if key != "annotations"}
    if "tool_call_id" in changed:
        changed["tool_call_id"] = fields.mistral_id(changed["tool_call_id"])
    calls = changed.get("tool_calls")
    if isinstance(calls, list):
        changed["tool_calls"] = [
            {**call, "id": fields.mistral_id(call.get("id"))} if isinstance(call, dict) else call
            for call in calls
        ]
    return changed
