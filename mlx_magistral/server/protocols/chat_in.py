"""What a chat request may say, and what the backend is asked for."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.backend import GenerationRequest
from mlx_magistral.server.protocols import effort, fields
from mlx_magistral.server.protocols.tool_choice import choose


class ChatBody(fields.Sampled):
    """The fields of a chat request."""

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
    timings_per_token: bool | None = None
    return_progress: bool | None = None
    thinking_token_budget: effort.Budget | None = None
    reasoning_effort: effort.Effort | effort.Reasoning | None = None
    reasoning: effort.Reasoning | None = None
    thinking: effort.Thinking | None = None
    chat_template_kwargs: effort.TemplateOptions | None = None
    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None
    modalities: list[Literal["text"]] | None = None

    @classmethod
    def _reworded(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        return effort.with_think(fields.our_names(given))

    def to_request(self) -> GenerationRequest:
        """What the backend is asked for."""
        options = self.sampling() | self._budget()
        options |= fields.format_options(self.response_format, "response_format")
        logprobs = None
        if self.logprobs:
            logprobs = self.top_logprobs or 0
        elif self.top_logprobs:
            raise ApiError(
                400, "Field 'top_logprobs' needs logprobs: true.", "invalid_value", "top_logprobs"
            )
        tools, choice = choose(self.tools, self.tool_choice)
        return GenerationRequest(
            model=self.model,
            messages=self._messages(),
            tools=tools,
            tool_choice=choice,
            parallel_tool_calls=self.parallel_tool_calls is not False,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=fields.stops(self.stop),
            logprobs=logprobs,
            options=options,
        )

    def _budget(self) -> dict[str, Any]:
        return effort.budget_options(
            self.thinking_token_budget,
            self.chat_template_kwargs,
            self.thinking,
            self.reasoning,
            self.reasoning_effort,
        )

    def _messages(self) -> list[dict[str, Any]]:
        messages = [_with_mistral_ids(message) for message in self.messages]
        if self.continue_final_message:
            if messages[-1].get("role") != "assistant":
                raise _not_together("continue_final_message", "needs a last assistant message")
            if self.add_generation_prompt:
                raise _not_together("add_generation_prompt", "excludes continue_final_message")
            messages[-1]["prefix"] = True
        elif self.add_generation_prompt is False:
            raise _not_together("add_generation_prompt", "false needs continue_final_message")
        return fields.with_question(messages)


def _not_together(name: str, what: str) -> ApiError:
    return ApiError(400, f"Field {name!r} {what}.", "invalid_value", name)


def _with_mistral_ids(message: dict[str, Any]) -> dict[str, Any]:
    """The message with ids that the tokenizer takes."""
    changed = dict(message)
    if "tool_call_id" in changed:
        changed["tool_call_id"] = fields.mistral_id(changed["tool_call_id"])
    calls = changed.get("tool_calls")
    if isinstance(calls, list):
        changed["tool_calls"] = [
            {**call, "id": fields.mistral_id(call.get("id"))} if isinstance(call, dict) else call
            for call in calls
        ]
    return changed
