"""What is asked: every question of a chat with what came before it; what asks nothing is named."""

import pytest

from mlx_magistral.errors import TrainingError
from mlx_magistral.train.drafter.prompts import prompts_of
from mlx_magistral.train.reading import Record


def test_each_question_of_a_chat_is_a_prompt_without_what_was_answered() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1", "reasoning": "hm"},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "2"},
    ]
    first, second = prompts_of([Record({"messages": messages}, "a:1")])
    assert first.messages == messages[:2]
    assert second.messages == [
        *messages[:2],
        {"role": "assistant", "content": "1"},
        messages[3],
    ]


def test_tool_results_are_answered_too_and_tools_are_kept() -> None:
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "tool_calls": [{"id": "a"}]},
        {"role": "tool", "tool_call_id": "a", "content": "rain"},
    ]
    tools = [{"type": "function"}]
    prompts = prompts_of([Record({"messages": messages, "tools": tools}, "a:1")])
    assert [len(each.messages) for each in prompts] == [1, 3]
    assert all(each.tools == tools for each in prompts)


def test_a_prompt_alone_is_enough() -> None:
    [prompt] = prompts_of([Record({"prompt": "Why?", "completion": "So."}, "a:1")])
    assert prompt.messages == [{"role": "user", "content": "Why?"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"text": "A document."}, "b:7 asks nothing"),
        ({"messages": ["hello"]}, "b:7 asks nothing"),
        ({"messages": [{"role": "assistant", "content": "I"}]}, "b:7 has no message of a user"),
    ],
    ids=["text", "no objects", "no user"],
)
def test_what_asks_nothing_is_named(content: dict[str, object], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        prompts_of([Record(content, "b:7")])
