"""What a request for a text completion may say, and what the backend is asked for."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.backend import GenerationRequest
from mlx_magistral.server.protocols import effort, fields

Ids = Annotated[list[Annotated[int, Field(ge=0, le=2**31)]], Field(min_length=1)]


class CompletionBody(fields.Sampled):
    """The fields of a text completion."""

    prompt: Annotated[str, Field(min_length=1)] | Ids
    stop: fields.Stop | None = None
    n: fields.Replies | None = None
    max_tokens: fields.Count | None = None
    stream_options: fields.StreamOptions | None = None
    thinking_token_budget: effort.Budget | None = None
    logprobs: None = None

    @classmethod
    def _reworded(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Clients of old send a list of prompts, mostly of one."""
        prompt = given.get("prompt")
        if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
            if len(prompt) > 1:
                what = "Field 'prompt' has several prompts: send each by itself."
                raise ApiError(400, what, "invalid_value", "prompt")
            given = {**given, "prompt": prompt[0]}
        return super()._reworded(given)

    def to_request(self) -> GenerationRequest:
        """What the backend is asked for; OpenAI's default of 16 tokens is kept."""
        options = self.sampling() | effort.budget_options(self.thinking_token_budget)
        return GenerationRequest(
            model=self.model,
            prompt=self.prompt,
            max_tokens=self.max_tokens or 16,
            stop=fields.stops(self.stop),
            options=options,
        )
