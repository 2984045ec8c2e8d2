"""Requests made up from the OpenAPI document, sound and unsound ones: all answered as it says."""

from typing import Any

import pytest
from schemathesis import GenerationMode
from server_fuzz import answered, operations


# scripts/checks/fuzz_server.py makes the many that CI has no time for.
@pytest.mark.parametrize(
    ("operation", "mode"), operations(), ids=lambda each: getattr(each, "label", each)
)
def test_every_request_is_answered_as_documented(operation: Any, mode: GenerationMode) -> None:
    assert answered(operation, mode, 10, is_repeatable=True).total()
