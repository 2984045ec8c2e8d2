"""What an option cannot be is a UsageError that names it, before anything is read or computed."""

from pathlib import Path
from typing import Any

import pytest

from mlx_magistral import Magistral
from mlx_magistral.decode.rules.control import ControlOptions
from mlx_magistral.decode.sampling import SamplingOptions
from mlx_magistral.engine.reply_options import ReplyOptions
from mlx_magistral.errors import PromptError, UsageError


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


@pytest.mark.parametrize(
    "option",
    [
        {"top_k": 2.5},
        {"top_k": 2.0},
        {"top_k": True},
        {"temperature": "0.7"},
        {"temperature": float("inf")},
        {"temperature": float("nan")},
        {"temperature": None},
        {"top_p": float("nan")},
        {"top_p": "1"},
        {"min_p": [0.1]},
        {"repetition_penalty": float("inf")},
        {"seed": 1.5},
        {"seed": "1"},
        {"max_tokens": 2.5},
        {"max_tokens": "9"},
        {"max_tokens": True},
        {"think_budget": 2.5},
        {"think_budget": "9"},
        {"think_close": 5},
        {"logprobs": 1.5},
        {"stop": 5},
        {"stop": [5]},
        {"stop": ""},
        {"frequency_penalty": "1"},
        {"logit_bias": 5},
        {"logit_bias": {"a": 1}},
        {"schema": [1]},
        {"schema": "{}"},
        {"json_mode": "yes"},
        {"strict_schema": 1},
        {"tool_choice": 5},
        {"tool_choice": None},
        {"parallel_tool_calls": "no"},
        {"on_loop": 5},
        {"thinking": "maybe"},
        {"thinking": ["auto"]},
        {"raw_system": "yes"},
        {"on_prefill": 5},
        {"speculate": 1.5},
        {"speculate": True},
        {"speculate": None},
        {"tools": 5},
        {"tools": "calculator"},
        {"prompt": 5},
        {"prompt": ["a"]},
    ],
    ids=str,
)
def test_of_a_reply(nano: Magistral, option: dict[str, Any]) -> None:
    asked = {} if "prompt" in option else {"messages": "hello"}
    with pytest.raises((UsageError, PromptError), match=f"(?i){next(iter(option))}"):
        nano.stream(**asked, **option)


@pytest.mark.parametrize("messages", [5, 0.5, b"hello", {"role": "user"}, [5], ["hello"]], ids=str)
def test_of_messages(nano: Magistral, messages: Any) -> None:
    with pytest.raises(PromptError, match="(?i)messages"):
        nano.stream(messages)
    with pytest.raises(PromptError, match="(?i)messages"):
        nano.generate(messages)


def test_every_keyword_is_one_that_editors_know(nano: Magistral) -> None:
    """ReplyOptions has the fields of both classes, and no other name is taken."""
    known = ReplyOptions.__annotations__.keys()
    fields = {*SamplingOptions.__dataclass_fields__, *ControlOptions.__dataclass_fields__}
    assert fields - known == {"schema"}
    for name in known - fields:
        with pytest.raises((UsageError, PromptError), match=name):
            nano.stream("hello", **{name: object()})
    with pytest.raises(UsageError, match="Unknown option temprature") as caught:
        nano.stream("hello", temprature=1)  # type: ignore[call-arg]
    assert all(name in str(caught.value) for name in known)


def test_rounds_of_tools(nano: Magistral) -> None:
    with pytest.raises(UsageError, match="max_tool_rounds must be a whole number, not 1.5"):
        nano.generate("hello", max_tool_rounds=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "option",
    [
        {"kv_bits": 5},
        {"kv_bits": 8.0},
        {"kv_bits": "8"},
        {"context_tokens": 2.5},
        {"wired_bytes": "all"},
        {"reuse_prefixes": "yes"},
        {"force": 1},
        {"tokenizer": 5},
        {"draft": 5},
        {"adapter": 5},
        {"variants": "folder"},
        {"variants": [5]},
        {"on_forced": 5},
    ],
    ids=str,
)
def test_of_a_model_before_it_is_looked_for(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(option))):
        Magistral.load(Path("there is no such folder"), **option)
    with pytest.raises(UsageError, match="model must be a text or a Path, not 5"):
        Magistral.load(5)  # type: ignore[arg-type]


def test_numbers_of_other_libraries_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    options = SamplingOptions(temperature=numpy.float32(0.5), top_k=numpy.int64(3))
    assert options.top_k == 3


@pytest.mark.parametrize("temperature", [1e-40, 9e-6, 0])
def test_next_to_no_temperature_is_greedy(nano: Magistral, temperature: float) -> None:
    expected = nano.generate("What is 37 + 48?", temperature=0).content
    for seed in range(2):
        reply = nano.generate("What is 37 + 48?", temperature=temperature, seed=seed)
        assert reply.content == expected


def test_a_stop_string_by_itself_is_one_of_a_list(nano: Magistral) -> None:
    for stop in ("boxed", ["boxed"]):
        reply = nano.generate("What is 37 + 48?", temperature=0, stop=stop)
        assert reply.content == "The sum is $\\"
