"""Fields nobody knows, names of speakers, and what a model of text cannot see."""

from typing import Any

import pytest

from mlx_magistral.errors import PromptError, UnsupportedFieldError
from mlx_magistral.text.placeholders import part_text, result_text
from mlx_magistral.text.tokenizer import Tokenizer
from mlx_magistral.text.tolerance import known_fields

USER = {"role": "user", "content": "a"}
ANSWER = {"role": "assistant", "content": "b"}
OTHER = {"role": "user", "content": "c"}
CALL = {"id": "a", "type": "function", "function": {"name": "calc", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "3"}
PNG = "iVBORw0KGgo="  # 8 bytes


def test_null_is_absent_and_what_changes_nothing_is_noted() -> None:
    noted: list[str] = []
    given = {"a": 1, "b": None, "user_id": 3, "audio": None, "echo": False, "best_of": 1}
    assert known_fields(given, {"a", "b"}, noted.append, "x.") == {"a": 1}
    assert noted == ["x.user_id", "x.echo", "x.best_of"]


@pytest.mark.parametrize(
    ("name", "value", "neutral"),
    [
        ("audio", {}, None),
        ("best_of", 2, 1),
        ("echo", True, False),
        ("functions", [{}], []),
        ("stop_token_ids", [1], []),
        ("guided_json", {}, None),
        ("dry_multiplier", 0.8, 0.0),
        ("some_penalty", 0.1, 0),
        ("length_penalty", 2, 1.0),
        ("mcp_servers", [{"url": "x"}], []),
        ("prompt_mode", "x", "reasoning"),
    ],
)
def test_what_would_change_the_reply_is_refused_by_name(
    name: str, value: Any, neutral: Any
) -> None:
    with pytest.raises(UnsupportedFieldError, match=f"Field '{name}' is not supported") as caught:
        known_fields({name: value}, (), lambda name: None)
    assert caught.value.field == name
    assert known_fields({name: neutral}, (), lambda name: None) == {}


@pytest.mark.parametrize(
    "extra",
    [
        {"name": "user"},
        {"id": "m1", "status": "completed", "metadata": {"a": 1}, "cache_control": {}},
        {"provider_specific_fields": {"x": 1}, "reasoning_details": [{"text": "t"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "t"}], "function_call": None},
    ],
)
def test_fields_of_messages_that_say_nothing_to_the_model(
    tokenizer: Tokenizer, extra: dict[str, Any]
) -> None:
    plain = [USER, ANSWER, OTHER]
    given = [{**message, **extra} for message in plain]
    assert tokenizer.encode_chat(given) == tokenizer.encode_chat(plain)
    called = [USER, CALLING, RESULT]
    given = [{**message, **extra} for message in called]
    assert tokenizer.encode_chat(given) == tokenizer.encode_chat(called)


def test_other_words_for_what_a_message_says(tokenizer: Tokenizer) -> None:
    for fields, same in [
        ({"content": "b", "thinking": "t"}, {"content": "b", "reasoning": "t"}),
        ({"content": None, "refusal": "no"}, {"content": "no"}),
        ({"content": [{"type": "refusal", "refusal": "no"}]}, {"content": "no"}),
        ({"content": [{"type": "output_text", "text": "b"}]}, {"content": "b"}),
    ]:
        one, two = ([USER, {"role": "assistant", **each}, OTHER] for each in (fields, same))
        assert tokenizer.encode_chat(one) == tokenizer.encode_chat(two)
    with pytest.raises(PromptError, match=r"messages\[1\] \(assistant\): field 'function_call'"):
        tokenizer.encode_chat([USER, {**ANSWER, "function_call": {"name": "x"}}, OTHER])


def test_names_count_where_there_are_several_speakers(tokenizer: Tokenizer) -> None:
    bo, al = {**USER, "name": "Bo"}, {**OTHER, "name": "Al"}
    named = [{**USER, "content": "Bo: a"}, ANSWER, {**OTHER, "content": "Al: c"}]
    assert tokenizer.encode_chat([bo, ANSWER, al]) == tokenizer.encode_chat(named)
    same = [bo, {**ANSWER, "name": "bot"}, {**OTHER, "name": "Bo"}]
    assert tokenizer.encode_chat(same) == tokenizer.encode_chat([USER, ANSWER, OTHER])
    parts = [{"type": "text", "text": "a"}]
    mixed = tokenizer.encode_chat([{**bo, "content": parts}, al])
    assert mixed == tokenizer.encode_chat(
        [{**USER, "content": "Bo:\n\na"}, {**OTHER, "content": "Al: c"}]
    )


@pytest.mark.parametrize(
    ("part", "line"),
    [
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": PNG},
            },
            "[image: image/png, 8 bytes. Not shown: this model reads text only.]",
        ),
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
            "[image: image/png, 8 bytes. Not shown: this model reads text only.]",
        ),
        (
            {"type": "input_image", "image_url": "https://example.org/a.png"},
            "[image: https://example.org/a.png. Not shown: this model reads text only.]",
        ),
        (
            {"type": "image", "data": PNG * 2000, "mimeType": "image/png"},
            "[image: image/png, 18 kB. Not shown: this model reads text only.]",
        ),
        (
            {
                "type": "document",
                "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PNG},
            },
            "[document: a.pdf, application/pdf, 8 bytes. Not shown: this model reads text only.]",
        ),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": f"data:x/y;base64,{PNG}"},
            "[file: a.pdf, x/y, 8 bytes. Not shown: this model reads text only.]",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}},
            "[audio: 8 bytes. Not shown: this model reads text only.]",
        ),
        ({"type": "hologram"}, "[hologram. Not shown: this model reads text only.]"),
        ({"type": "tool_reference", "tool_name": "WebFetch"}, "Tool: WebFetch"),
        (
            {"type": "document", "title": "T", "source": {"type": "text", "data": "words"}},
            "T\nwords",
        ),
        (
            {
                "type": "search_result",
                "source": "https://example.org",
                "title": "T",
                "content": [{"type": "text", "text": "words"}],
            },
            "T\nhttps://example.org\nwords",
        ),
        ({"type": "resource", "resource": {"uri": "file:///a", "text": "words"}}, "words"),
    ],
)
def test_a_tools_result_has_a_line_for_what_is_not_text(
    tokenizer: Tokenizer, part: dict[str, Any], line: str
) -> None:
    assert part_text(part) == line
    content = [{"type": "text", "text": "before"}, part]
    given = [USER, CALLING, {**RESULT, "content": content}]
    same = [USER, CALLING, {**RESULT, "content": f"before\n\n{line}"}]
    assert tokenizer.encode_chat(given) == tokenizer.encode_chat(same)


@pytest.mark.parametrize("part", [3, None, {}, {"type": 5}, {"type": "image", "source": 4}])
def test_no_part_of_a_result_is_an_error(part: Any) -> None:
    assert "\n" not in part_text(part)
    assert result_text([part, "x"]).endswith("x")  # type: ignore[union-attr]


def test_a_tool_may_return_nothing(tokenizer: Tokenizer) -> None:
    want = tokenizer.encode_chat([USER, CALLING, {**RESULT, "content": ""}])
    for content in (None, []):
        assert tokenizer.encode_chat([USER, CALLING, {**RESULT, "content": content}]) == want
