"""Schemas that are strict or not, and what becomes of an answer that breaks one."""

from dataclasses import replace
from typing import Any

import pytest
from server_fakes import FINISHED, SCRIPT

from .asking import GENERATING, Asker, stream_events

SCHEMA = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
CHECKED = [path for path in GENERATING if path != "/v1/completions"]


@pytest.mark.parametrize(("strict", "is_strict"), [(True, True), (False, False), (None, False)])
def test_a_schema_is_strict_where_the_request_says_so(strict: Any, is_strict: bool) -> None:
    asker = Asker()
    inner = {"name": "x", "schema": SCHEMA, "strict": strict}
    form = {"type": "json_schema", "json_schema": inner}
    flat = {"type": "json_schema", **inner}
    for path, fields in [
        ("/v1/chat/completions", {"response_format": form}),
        ("/v1/responses", {"text": {"format": flat}}),
        ("/v1/messages", {"output_config": {"format": flat}}),
    ]:
        options = asker.asked(path, **fields).options
        assert options["schema"] == SCHEMA and options["strict_schema"] is is_strict


@pytest.mark.parametrize("path", CHECKED)
def test_an_answer_that_breaks_its_schema_says_so(path: str) -> None:
    asker = Asker()
    assert "validation_error" not in asker.post(path).text
    asker.backend.script = [*SCRIPT[:-1], replace(FINISHED, invalid="It is wrong.")]
    assert '"validation_error":"It is wrong."' in asker.post(path).text
    events = stream_events(asker.post(path, stream=True))
    assert sum("validation_error" in str(event) for event in events) == 1
