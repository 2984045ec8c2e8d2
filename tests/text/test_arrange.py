"""Instructions anywhere and turns without words: never an error, never lost, never in the way."""

from typing import Any

import pytest

from mlx_magistral.text.tokenizer import Tokenizer

USER = {"role": "user", "content": "a"}
OTHER = {"role": "user", "content": "c"}
ANSWER = {"role": "assistant", "content": "b"}
LATER = {"role": "system", "content": "be brief"}
MARKED = {"role": "user", "content": "<system>\nbe brief\n</system>"}
CALL = {"id": "a", "type": "function", "function": {"name": "calc", "arguments": "{}"}}
OTHER_CALL = {**CALL, "id": "b"}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
CALLING_TWICE = {**CALLING, "tool_calls": [CALL, OTHER_CALL]}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "3"}
OTHER_RESULT = {**RESULT, "tool_call_id": "b"}

both_ways = pytest.mark.parametrize("raw_system", [False, True], ids=["official", "raw"])


@both_ways
@pytest.mark.parametrize(
    ("given", "same"),
    [
        ([USER, LATER], [USER, MARKED]),
        ([USER, LATER, LATER], [USER, MARKED, MARKED]),
        ([USER, LATER, OTHER], [USER, MARKED, OTHER]),
        ([USER, ANSWER, LATER, OTHER], [USER, ANSWER, MARKED, OTHER]),
        ([USER, ANSWER, LATER], [USER, ANSWER, MARKED]),
        ([USER, ANSWER, LATER, ANSWER, OTHER], [USER, ANSWER, MARKED, ANSWER, OTHER]),
        ([USER, CALLING, RESULT, LATER], [USER, CALLING, RESULT, MARKED]),
        ([USER, CALLING, LATER, RESULT], [USER, CALLING, RESULT, MARKED]),
        (
            [USER, CALLING_TWICE, RESULT, LATER, OTHER_RESULT, ANSWER, OTHER],
            [USER, CALLING_TWICE, RESULT, OTHER_RESULT, MARKED, ANSWER, OTHER],
        ),
        ([ANSWER, LATER, USER], [ANSWER, MARKED, USER]),
        ([LATER], [MARKED]),
        ([LATER, LATER], [LATER, MARKED]),
        ([USER, {**LATER, "role": "developer"}], [USER, MARKED]),
        (
            [USER, {"role": "system", "content": [{"type": "text", "text": "be brief"}]}],
            [USER, MARKED],
        ),
        (
            [USER, {"role": "system", "content": [{"type": "thinking", "thinking": "be brief"}]}],
            [USER, MARKED],
        ),
    ],
)
def test_later_instructions_are_a_marked_part_of_a_user_turn(
    tokenizer: Tokenizer, given: list[Any], same: list[Any], raw_system: bool
) -> None:
    want = tokenizer.encode_chat(same, raw_system=raw_system)
    assert tokenizer.encode_chat(given, raw_system=raw_system) == want


@both_ways
def test_a_conversation_that_goes_on_begins_with_the_same_ids(
    tokenizer: Tokenizer, raw_system: bool
) -> None:
    turns = [USER, LATER, CALLING, RESULT, LATER, ANSWER, LATER, OTHER, LATER]
    ends = [2, 5, 9]  # what a client sends each time
    encoded = [tokenizer.encode_chat(turns[:end], raw_system=raw_system) for end in ends]
    for shorter, longer in zip(encoded, encoded[1:], strict=False):
        assert longer[: len(shorter)] == shorter


@both_ways
@pytest.mark.parametrize(
    "empty",
    [
        {"content": ""},
        {"content": None},
        {"content": []},
        {},
        {"content": [{"type": "text", "text": ""}]},
        {"content": "", "tool_calls": []},
        {"content": "", "reasoning": ""},
        {"content": None, "prefix": True},
    ],
)
def test_turns_without_words_are_left_out(
    tokenizer: Tokenizer, empty: dict[str, Any], raw_system: bool
) -> None:
    nothing = {"role": "assistant", **empty}
    for given, same in [
        ([USER, nothing], [USER]),
        ([USER, nothing, OTHER], [USER, OTHER]),
        ([nothing, USER], [USER]),
        ([USER, CALLING, RESULT, nothing, OTHER], [USER, CALLING, RESULT, OTHER]),
        ([USER, nothing, LATER], [USER, MARKED]),
    ]:
        if not nothing.get("prefix") or given[-1] is nothing:
            want = tokenizer.encode_chat(same, raw_system=raw_system)
            assert tokenizer.encode_chat(given, raw_system=raw_system) == want
    assert tokenizer.begun_part([USER, nothing]) is None


def test_a_thought_without_an_answer_is_no_empty_turn(tokenizer: Tokenizer) -> None:
    thought = {"role": "assistant", "content": "", "reasoning": "hm"}
    with_it = tokenizer.encode_chat([USER, thought, OTHER])
    assert len(with_it) > len(tokenizer.encode_chat([USER, OTHER]))
