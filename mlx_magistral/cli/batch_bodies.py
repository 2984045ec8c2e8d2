"""Requests of a batch as the server reads and answers them: the same fields, the same bodies."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.errors import MagistralError
from mlx_magistral.evals.batch.answers import INTERNAL
from mlx_magistral.evals.batch.lines import CHAT, RequestLine
from mlx_magistral.evals.batch.run import Protocols, Refused
from mlx_magistral.events import Event
from mlx_magistral.server.api_errors import ApiError, from_error, from_validation
from mlx_magistral.server.backend import copies
from mlx_magistral.server.protocols.chat_in import ChatBody
from mlx_magistral.server.protocols.chat_out import LogprobKeeper, completion_body
from mlx_magistral.server.protocols.completions_in import CompletionBody
from mlx_magistral.server.protocols.completions_out import text_body


def server_protocols(model: str, defaults: Mapping[str, Any]) -> Protocols:
    """``defaults`` are fields for requests that lack them; a seed there differs by custom_id."""

    def understand(line: RequestLine) -> "_Asked":
        try:
            return _Asked(line, model, _with_defaults(line, model, defaults))
        except ValidationError as error:
            raise _refused(from_validation(error)) from error
        except ApiError as error:
            raise _refused(error) from error

    return Protocols(understand, _explain)


class _Asked:
    """A request whose body has been checked."""

    def __init__(self, line: RequestLine, model: str, fields: dict[str, Any]) -> None:
        is_chat = line.url == CHAT
        kind = ChatBody if is_chat else CompletionBody
        # From text, as the server does: exact types, and a list stays one.
        body = kind.model_validate_json(json.dumps(fields))
        if body.stream:
            raise ApiError(400, "A batch does not stream: leave 'stream' out.", param="stream")
        self.copies = [each.keywords() for each in copies(body.to_request(), body.n or 1)]
        logprobs = isinstance(body, ChatBody) and body.logprobs
        self._logprobs = LogprobKeeper(len(self.copies)) if logprobs else None
        self._line = line
        self._model = model
        self._is_chat = is_chat

    def watch(self, copy: int, event: Event) -> None:
        if self._logprobs is not None:
            self._logprobs.feed(copy, event)

    def body(self, said: Sequence[ReplyCollector]) -> dict[str, Any]:
        head: dict[str, Any] = {"created": int(time.time()), "model": self._model}
        id = self._line.id.removeprefix("batch_req_")
        if self._is_chat:
            return completion_body({"id": f"chatcmpl-{id}", **head}, said, self._logprobs)
        return text_body({"id": f"cmpl-{id}", "object": "text_completion", **head}, said)


def _with_defaults(line: RequestLine, model: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    fields = {"model": model, **line.body}
    for name, value in defaults.items():
        if name == "seed":
            digest = hashlib.sha256(f"{value} {line.custom_id}".encode("utf-8", "surrogatepass"))
            value = int.from_bytes(digest.digest()[:7], "big")
        if name != "max_tokens" or "max_completion_tokens" not in fields:
            fields.setdefault(name, value)
    return fields


def _explain(error: MagistralError) -> Refused:
    found = from_error(error)
    if found.status == 500:
        # Nobody has a log of it: the file is where it is told.
        return Refused(str(error), INTERNAL, None)
    return _refused(found)


def _refused(error: ApiError) -> Refused:
    return Refused(error.message, error.code or "invalid_value", error.param)
