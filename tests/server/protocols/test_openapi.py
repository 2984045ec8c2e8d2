"""Requests made up from the OpenAPI document, sound and unsound ones: all answered as it says."""

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from server_fuzz import answer, operations


# scripts/fuzz_server.py makes the many that CI has no time for.
@pytest.mark.parametrize(
    ("operation", "mode"), operations(), ids=lambda each: getattr(each, "label", each)
)
def test_every_request_is_answered_as_documented(operation: Any, mode: GenerationMode) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case: Case) -> None:
        answer(case)

    run()
