"""The requests that real clients send, as scripts/checks/clients.py keeps them, are taken."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlx_magistral import Magistral
from mlx_magistral.decode.rules.control import ControlOptions
from mlx_magistral.decode.rules.guidance import Guidance, make_guidance
from mlx_magistral.decode.rules.structure import structure_rules
from mlx_magistral.server.backend import GenerationRequest
from mlx_magistral.text.functions import openai_tools

from .asking import Asker

FILES = sorted((Path(__file__).parent / "requests").glob("*.json"))
REQUESTS = [
    pytest.param(request, id=f"{path.stem}-{request['case']}")
    for path in FILES
    for request in json.loads(path.read_text("utf-8"))["requests"]
]


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


@pytest.fixture(scope="module")
def guidance(nano: Magistral) -> Guidance:
    return make_guidance(nano.tokenizer)


def asked(path: str, body: dict[str, Any]) -> GenerationRequest:
    asker = Asker()
    response = asker.send("POST", path, json=body)
    assert response.status_code == 200, response.text
    return asker.backend.requests[-1]


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_clients_own_request_is_taken_whole(
    request_: dict[str, Any], nano: Magistral, guidance: Guidance
) -> None:
    wanted = asked(request_["path"], request_["body"])
    tools = openai_tools(wanted.tools)
    ids = nano.tokenizer.encode_chat(wanted.messages or (), tools=tools)
    text = nano.tokenizer.decode(ids)
    if request_["case"] == "second":
        assert "four-4" in text
    else:
        assert "forty-42" in text and nano.tokenizer.control_id("[TOOL_RESULTS]") in ids
    control = ControlOptions(tool_choice=wanted.tool_choice)
    assert (
        structure_rules(control, nano.tokenizer, tools, "auto", lambda: guidance, 4096) or not tools
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_of_a_machine_is_kept(path: Path) -> None:
    text = path.read_text("utf-8")
    for part in ("/root", "/home/", "/tmp/", "/Users/"):
        assert part not in text


def test_claude_codes_next_request_begins_with_the_ids_of_the_one_before(nano: Magistral) -> None:
    """Its system prompt has another billing line each time; the rest is as it was."""
    [tool] = [
        each
        for each in json.loads((FILES[0].parent / "claude-code.json").read_text("utf-8"))[
            "requests"
        ]
        if each["case"] == "tool"
    ]
    body = tool["body"]
    billing = {"type": "text", "text": "x-anthropic-billing-header: cc_version=0; cch=00000;"}
    earlier = {
        **body,
        "messages": body["messages"][:2],
        "system": [billing, *body["system"]],
    }
    first, second = (asked(tool["path"], each) for each in (earlier, body))
    one, two = (
        nano.tokenizer.encode_chat(each.messages or (), tools=each.tools)
        for each in (first, second)
    )
    assert len(one) < len(two) and two[: len(one)] == one
