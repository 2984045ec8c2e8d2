"""A batch's output: one answer a line, in the order in which they are finished.

    {"id": "batch_req_...", "custom_id": "a", "error": null, "response": {"status_code": 200,
     "request_id": "batch_req_...", "body": {... as /v1/chat/completions answers ...}}}
    {"id": "batch_req_...", "custom_id": "b", "response": null, "error": {"code": "...",
     "message": "...", "param": null}}

``id`` is made from the request's own line, so a later run knows what it has answered already.
"""

from collections.abc import Sequence
from typing import Any

from mlx_magistral.errors import RunError
from mlx_magistral.evals.batch.lines import RequestLine
from mlx_magistral.evals.line_file import LineFile

# Errors that another try may not meet again.
INTERNAL = "internal_error"


def answer(line: RequestLine, body: dict[str, Any]) -> dict[str, Any]:
    """The record of a reply."""
    response = {"status_code": 200, "request_id": line.id, "body": body}
    return {"id": line.id, "custom_id": line.custom_id, "response": response, "error": None}


def refusal(
    line: RequestLine, message: str, code: str = "invalid_value", param: str | None = None
) -> dict[str, Any]:
    """The record of a request that has no reply."""
    error = {"code": code, "message": message, "param": param}
    return {"id": line.id, "custom_id": line.custom_id, "response": None, "error": error}


def open_lines(output: LineFile, lines: Sequence[RequestLine], model: str) -> list[RequestLine]:
    """The requests that have no answer in ``output``; errors that are out of date leave it.

    Raises RunError where it holds replies to other requests, or of another model.
    """
    by_id = {line.id: line for line in lines}
    outdated = set()
    answered = set()
    for record in output.records():
        if not isinstance(record.get("id"), str) or "custom_id" not in record:
            raise RunError(f"{output.path} holds something else than answers. Name another file.")
        id, error = record["id"], record.get("error")
        if error is not None and (id not in by_id or error.get("code") == INTERNAL):
            outdated.add(id)
            continue
        if id not in by_id:
            raise RunError(
                f"{output.path} holds a reply to another request of custom_id "
                f"{record['custom_id']!r}. Name another file, or remove that one."
            )
        body = (record.get("response") or {}).get("body") or {}
        if error is None and body.get("model") != model:
            raise RunError(
                f"{output.path} holds replies of {body.get('model')}, not of {model}. "
                "Name another file."
            )
        answered.add(id)
    if outdated:
        output.keep(lambda record: record["id"] not in outdated)
    return [line for line in lines if line.id not in answered]


def count_refused(output: LineFile) -> int:
    """Answers that are errors."""
    return sum(record["error"] is not None for record in output.records())
