"""``/v1/responses``: OpenAI's newer protocol. Items can be referred to, conversations cannot."""

import secrets
import time
from collections.abc import AsyncIterator
from typing import Any, ClassVar

from starlette.requests import Request
from starlette.responses import Response

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.events import Finished
from mlx_magistral.server import sse
from mlx_magistral.server.api_errors import ApiError
from mlx_magistral.server.backend import GenerationRequest
from mlx_magistral.server.protocols import effort, fields
from mlx_magistral.server.protocols.openai_words import finish_reason, invalid_body
from mlx_magistral.server.protocols.response_items import Items
from mlx_magistral.server.protocols.response_memory import ItemMemory
from mlx_magistral.server.protocols.response_tools import ResponseTools
from mlx_magistral.server.protocols.responses_in import InputReader
from mlx_magistral.server.protocols.tool_choice import choose
from mlx_magistral.server.running import Run
from mlx_magistral.server.service import Service, read_body


class TextConfig(fields.Body):
    """The form of the answer."""

    place: ClassVar[str] = "text."
    format: dict[str, Any] | None = None


class ResponsesBody(fields.Sampled):
    """The fields of a responses request."""

    input: str | list[dict[str, Any]]
    instructions: str | None = None
    max_output_tokens: fields.Count | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: effort.Reasoning | None = None
    thinking_token_budget: effort.Budget | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None

    def to_request(self, tools: ResponseTools, memory: ItemMemory) -> GenerationRequest:
        """What the backend is asked for; tools that come as items are added to ``tools``."""
        options = self.sampling()
        options |= effort.budget_options(self.thinking_token_budget, self.reasoning)
        options |= fields.format_options(self.text.format if self.text else None, "text.format")
        reader = InputReader(tools, memory.find, self.note)
        reader.read(self.instructions, self.input)
        functions, choice = choose(tools.functions, self._choice(tools))
        return GenerationRequest(
            model=self.model,
            messages=fields.with_question(reader.chat),
            tools=functions,
            tool_choice=choice,
            parallel_tool_calls=self.parallel_tool_calls is not False,
            max_tokens=self.max_output_tokens,
            options=options,
        )

    def _choice(self, tools: ResponseTools) -> str | dict[str, Any] | None:
        """The tool choice, a tool by the name under which it is offered."""
        choice = self.tool_choice
        if not isinstance(choice, dict) or "name" not in choice:
            if isinstance(choice, dict) and choice.get("type") in tools.left_out:
                raise ApiError(
                    400,
                    f"tool_choice: a tool of type {choice['type']!r} is OpenAI's to run.",
                    "invalid_value",
                    "tool_choice",
                )
            return choice
        name = tools.offered_name(choice["name"], choice.get("namespace"))
        return {"type": choice.get("type"), "name": name}


async def create_response(request: Request) -> Response:
    """Answer, streamed or whole."""
    service: Service = request.app.state.service
    body = await read_body(request, ResponsesBody)
    tools = ResponseTools(body.tools, body.note)
    wanted = body.to_request(tools, service.memory)
    items = Items(tools)
    head = _head(service.model_named(body.model), body, tools)

    def ended(finished: Finished) -> dict[str, Any]:
        is_cut = finish_reason(finished) == "length"
        if body.store is not False:
            service.memory.keep(items.items)
        return {
            **head,
            "status": "incomplete" if is_cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "completed_at": int(time.time()),
            "output": items.items,
            "usage": _usage(finished),
            **invalid_body(finished),
        }

    def whole(replies: list[ReplyCollector], watch: Items) -> dict[str, Any]:
        return ended(replies[0].finished)

    async def stream(run: Run) -> AsyncIterator[str]:
        count = 0

        def event(kind: str, **values: Any) -> str:
            nonlocal count
            count += 1
            return sse.named({"type": kind, "sequence_number": count - 1, **values})

        yield event("response.created", response=head)
        yield event("response.in_progress", response=head)
        try:
            async for item in run.events(service.keep_alive_s):
                if item is None:
                    yield sse.KEEP_ALIVE
                    continue
                for piece in items.feed(0, item[1]):
                    yield event(piece.pop("type"), **piece)
                if isinstance(item[1], Finished):
                    last = ended(item[1])
                    yield event(f"response.{last['status']}", response=last)
        except ApiError as error:
            failure = {"code": "server_error", "message": error.message}
            yield event("response.failed", response={**head, "status": "failed", "error": failure})

    return await service.answer(
        request, [wanted], stream=stream if body.stream else None, whole=whole, watch=items
    )


def _head(model: str, body: ResponsesBody, tools: ResponseTools) -> dict[str, Any]:
    return {
        "id": f"resp_{secrets.token_hex(12)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "model": model,
        "output": [],
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": None,
        "temperature": body.temperature,
        "text": {"format": (body.text and body.text.format) or {"type": "text"}},
        "tool_choice": body.tool_choice or "auto",
        "tools": tools.said,
        "top_p": body.top_p,
        "truncation": "disabled",
        "usage": None,
    }


def _usage(finished: Finished) -> dict[str, Any]:
    usage = finished.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
