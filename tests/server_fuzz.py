"""Requests made up from the OpenAPI document, sound and unsound ones, and what may come of them."""

from collections import Counter
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from server_fakes import FakeBackend

from mlx_magistral.server.app import make_app

HOST = {"host": "localhost"}


def operations() -> list[tuple[Any, GenerationMode]]:
    """Those of the document of a server whose backend is scripted; what has a body is done twice.

    Requests keep to the document (POSITIVE) or break it (NEGATIVE); a path alone cannot break it.
    """
    schema = schemathesis.openapi.from_asgi("/openapi.json", make_app(FakeBackend()), headers=HOST)
    found = [each.ok() for each in schema.get_all_operations()]
    with_body = [(each, GenerationMode.NEGATIVE) for each in found if each.body]
    return [(each, GenerationMode.POSITIVE) for each in found] + with_body


def answer(case: Case) -> int:
    """Send it; the status, where the answer is one that the document promises.

    No failure inside, and a refusal names itself in the shape of the API that was spoken.
    """
    response = case.call(headers=HOST)
    if response.status_code == 405 or (response.status_code == 404 and "{" not in case.path):
        pass  # another method or path than the document has
    else:
        case.validate_response(
            response,
            checks=[
                not_a_server_error,
                status_code_conformance,
                content_type_conformance,
                response_schema_conformance,
            ],
        )
    if response.status_code >= 400:
        _require_own_shape(response, case.path)
    return int(response.status_code)


def _require_own_shape(response: Any, path: str) -> None:
    body = response.json()
    error = body["error"]
    if path.startswith("/v1/messages"):
        assert body.keys() == {"type", "error", "request_id"} and body["type"] == "error", body
        assert error.keys() == {"type", "message"}, body
    else:
        assert body.keys() == {"error"}, body
        assert error.keys() == {"message", "type", "param", "code"}, body
    assert error["message"] and error["type"], body


def answered(
    operation: Any, mode: GenerationMode, examples: int, *, is_repeatable: bool = False
) -> Counter[int]:
    """How many requests of one operation got which status; the same requests if repeatable."""
    statuses: Counter[int] = Counter()

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=is_repeatable,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case: Case) -> None:
        statuses[answer(case)] += 1

    run()
    return statuses
