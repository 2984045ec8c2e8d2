"""EAGLE-3 heads as drafts: told from a model, planned for, refused where they do not fit, exact."""

from pathlib import Path
from typing import Any

import pytest
from model.eagle.heads import write_head

from mlx_magistral import Magistral
from mlx_magistral.decode.speculation.head_draft import HeadDraft
from mlx_magistral.errors import CheckpointError
from mlx_magistral.events import Finished
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.checkpoint import open_checkpoint

QUESTION = "What is 345 + 67?"
SCHEMA = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
CASES: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "drawn": {"temperature": 0.7, "seed": 3},
    "budget": {"temperature": 0, "think_budget": 9},
    "guard": {"temperature": 0, "repetition_penalty": 1.2, "max_tokens": 40},
    "grammar": {"temperature": 0, "schema": SCHEMA, "think_budget": 20, "max_tokens": 60},
    "stop": {"temperature": 0, "stop": ("412",)},
    "logprobs": {"temperature": 0, "logprobs": 2, "max_tokens": 20},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_head(tmp_path_factory.mktemp("heads") / "nano-head", _nano_config())


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


@pytest.fixture(scope="module")
def guessing(folder: Path) -> Magistral:
    return Magistral.load("nano", draft=folder)


def _nano_config() -> Any:
    return open_checkpoint(nano_folder()).config


@pytest.mark.parametrize("case", CASES)
def test_a_head_changes_no_id(case: str, nano: Magistral, guessing: Magistral) -> None:
    options = CASES[case]
    plain = nano.generate(QUESTION, speculate="off", **options)
    guessed = guessing.generate(QUESTION, speculate=4, **options)
    assert (guessed.reasoning, guessed.content) == (plain.reasoning, plain.content)
    assert guessed.finish_reason == plain.finish_reason
    assert (guessed.timings.guesses > 0) == ("logprobs" not in options)


def test_answering_now_ends_the_thinking_as_without(guessing: Magistral) -> None:
    stream = guessing.stream(QUESTION, temperature=0, speculate=4, thinking="force")
    said = [next(stream) for _ in range(3)]
    stream.answer_now()
    said += list(stream)
    assert isinstance(said[-1], Finished) and not stream.is_thinking


@pytest.mark.parametrize("kv_bits", [16, 8])
def test_a_conversation_goes_on_from_kept_rows(folder: Path, kv_bits: int) -> None:
    plain = Magistral.load("nano", kv_bits=kv_bits)
    guessing = Magistral.load("nano", draft=folder, reuse_prefixes=True, kv_bits=kv_bits)
    assert isinstance(guessing.draft_model, HeadDraft)
    messages: list[dict[str, Any]] = [{"role": "user", "content": QUESTION}]
    for turn in range(3):
        wanted = plain.generate(messages, temperature=0, speculate="off", max_tokens=60)
        reply = guessing.generate(messages, temperature=0, speculate=4, max_tokens=60)
        assert (reply.reasoning, reply.content) == (wanted.reasoning, wanted.content)
        assert (reply.usage.cached_tokens > 0) == (turn > 0)
        messages += [
            {"role": "assistant", "content": reply.content or ""},
            {"role": "user", "content": f"And {turn}?"},
        ]


def test_its_weights_and_rows_are_planned_for(nano: Magistral, guessing: Magistral) -> None:
    assert guessing.memory.plan.weight_bytes > nano.memory.plan.weight_bytes
    assert guessing.memory.draft_token_bytes > 0


def test_a_head_of_another_model_is_refused_before_weights_are_read(tmp_path: Path) -> None:
    from dataclasses import replace

    other = write_head(tmp_path / "other", replace(_nano_config(), dim=64))
    with pytest.raises(CheckpointError, match="a head for models of width 64, and this one has"):
        Magistral.load("nano", draft=other)


def test_weights_given_back_are_read_again_with_the_head(folder: Path) -> None:
    model = Magistral.load("nano", draft=folder)
    model.unload()
    assert model.draft_model is None
    assert model.generate(QUESTION, temperature=0, speculate=4, max_tokens=20).timings.guesses > 0
