"""Requests made up from the OpenAPI document, sound and unsound ones: never a 500."""

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from server_fakes import FakeBackend

from mlx_magistral.server.app import make_app
from mlx_magistral.server.guard import Rules

# scripts/fuzz_server.py makes the many that CI has no time for.
HOST = {"host": "localhost"}
schema = schemathesis.openapi.from_asgi(
    "/openapi.json", make_app(FakeBackend(), Rules()), headers=HOST
)


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_fails_inside(case: Case) -> None:
    case.validate_response(case.call(headers=HOST), checks=[not_a_server_error])
