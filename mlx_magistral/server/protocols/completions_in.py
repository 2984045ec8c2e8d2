"""What a request for a text completion may say, and what the backend is asked for."""

from typing import Annotated

from pydantic import Field

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
