"""A saved reply: Markdown, HTML with the thinking folded, JSON."""

import json
from pathlib import Path

import pytest

from mlx_magistral.errors import MagistralError, UsageError
from mlx_magistral.events import FinishReason, Limit, Reply, Timings, ToolCall, Usage
from mlx_magistral.terminal.saving import check_target, save_reply

REPLY = Reply(
    model="nano",
    reasoning="3 < 4\nso 7",
    content="It is **7**.",
    finish_reason=FinishReason.STOP,
    usage=Usage(5, 9, 4),
    timings=Timings(0.1, 0.2, 25.0, 50.0, 1000),
    tool_calls=[ToolCall("id0", "add", '{"a": 3}')],
    limit=Limit.LOOP,
)


def test_markdown(tmp_path: Path) -> None:
    save_reply(REPLY, "3 + 4?", tmp_path / "r.md")
    assert (tmp_path / "r.md").read_text() == (
        "> 3 + 4?\n\n## Thinking\n\n> 3 < 4\n> so 7\n\n## Answer\n\nIt is **7**.\n\n"
        'Tool call: `add` `{"a": 3}`\n\n'
        "*nano: 4 tokens of thinking, 5 of answer, 50.0 tok/s, ended by stop (loop)*\n"
    )


def test_html_holds_the_messages_and_lets_none_of_them_act(tmp_path: Path) -> None:
    save_reply(REPLY, "<script>alert(1)</script>", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "<script>alert" not in page and "default-src 'none'" in page
    data = page.partition('id="messages">')[2].partition("</script>")[0]
    question, reply = json.loads(data)["messages"]
    assert question == {"role": "user", "content": "<script>alert(1)</script>"}
    assert (reply["reasoning"], reply["content"]) == ("3 < 4\nso 7", "It is **7**.")
    assert reply["calls"] == [{"name": "add", "arguments": '{"a": 3}'}]
    assert reply["figures"]["tokens"] == 9 and reply["figures"]["thinkTokens"] == 4
    assert "%%TITLE%%" not in page and "%%POLICY%%" not in page and "%%TEXT%%" not in page


def test_json_has_the_question_and_the_documented_keys(tmp_path: Path) -> None:
    save_reply(REPLY, "3 + 4?", tmp_path / "r.json")
    saved = json.loads((tmp_path / "r.json").read_text())
    assert saved == {"question": "3 + 4?", **json.loads(json.dumps(REPLY.to_dict()))}
    assert saved["limit"] == "loop"


def test_bad_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not 'r.pdf'"):
        check_target(tmp_path / "r.pdf")
    with pytest.raises(UsageError, match="there is no folder"):
        check_target(tmp_path / "no" / "r.md")
    (tmp_path / "d.md").mkdir()
    with pytest.raises(MagistralError, match="cannot be written"):
        save_reply(REPLY, "x", tmp_path / "d.md")
