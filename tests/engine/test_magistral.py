"""Magistral on nano and on a model that never ends: load, stream, generate, cancel."""

import shutil
import threading
from pathlib import Path

import pytest

from mlx_magistral import Magistral
from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.errors import (
    CheckpointError,
    ContextLengthError,
    PromptError,
    TokenizerError,
    UsageError,
)
from mlx_magistral.events import ContentDelta, Finished, FinishReason, ReasoningDelta
from mlx_magistral.hub.resolve import nano_folder


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


@pytest.fixture(scope="module")
def endless(endless_model: Path) -> Magistral:
    return Magistral.load(endless_model)


def test_generate_thinks_and_answers(nano: Magistral) -> None:
    reply = nano.generate("What is 37 + 48?", temperature=0)
    assert reply.content == "The sum is $\\boxed{85}$."
    assert reply.reasoning is not None and reply.reasoning.startswith("37+48")
    assert reply.finish_reason is FinishReason.STOP
    assert reply.model == "nano"


def test_stream_is_the_same_in_pieces(nano: Magistral) -> None:
    events = list(nano.stream("What is 37 + 48?", temperature=0))
    kinds = [type(event) for event in events]
    assert kinds == sorted(kinds, key=[ReasoningDelta, ContentDelta, Finished].index)
    assert kinds[-1] is Finished
    collector = ReplyCollector("nano")
    for event in events:
        collector.feed(event)
    whole = nano.generate("What is 37 + 48?", temperature=0)
    assert (collector.reply().reasoning, collector.reply().content) == (
        whole.reasoning,
        whole.content,
    )


@pytest.mark.parametrize("is_thinking", [True, False])
def test_a_stopped_reply_is_gone_on_with(nano: Magistral, is_thinking: bool) -> None:
    question = {"role": "user", "content": "What is 37 + 48?"}
    whole = nano.generate([question], temperature=0)
    assert whole.reasoning is not None and whole.content is not None
    begun = (
        {"reasoning": whole.reasoning[:12]}
        if is_thinking
        else {"reasoning": whole.reasoning, "content": whole.content[:7]}
    )
    prefix = {"role": "assistant", "prefix": True, **begun}
    rest = nano.generate([question, prefix], temperature=0)
    assert begun["reasoning"] + (rest.reasoning or "") == whole.reasoning
    assert begun.get("content", "") + (rest.content or "") == whole.content


def test_same_seed_same_reply_on_one_model(endless: Magistral) -> None:
    texts = [
        endless.generate("x", seed=seed, max_tokens=30, temperature=2.0).content
        for seed in (3, 3, 4)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_conversation_in_openai_shape(nano: Magistral) -> None:
    reply = nano.generate(
        [
            {"role": "user", "content": "What is 2 + 3?"},
            {"role": "assistant", "content": "The sum is $\\boxed{5}$."},
            {"role": "user", "content": "now add 4"},
        ],
        max_tokens=5,
    )
    assert reply.usage.completion_tokens == 5
    assert reply.finish_reason is FinishReason.LENGTH


def test_timings_and_usage_are_filled_in(nano: Magistral) -> None:
    reply = nano.generate("What is 37 + 48?", temperature=0)
    assert reply.usage.prompt_tokens > 100  # the official system prompt is in it
    assert reply.timings.load_s > 0
    assert reply.timings.ttft_s > 0
    assert reply.timings.decode_tps > 0
    assert reply.timings.peak_memory_bytes > 1_000_000


def test_thinking_can_be_skipped_and_forced(nano: Magistral) -> None:
    skipped = nano.generate("What is 3 + 4?", temperature=0, thinking="skip", max_tokens=30)
    assert skipped.reasoning is None
    forced = nano.generate("What is 3 + 4?", temperature=0, thinking="force")
    assert forced.reasoning is not None and forced.reasoning.startswith("3+4")


def test_cancel_ends_within_one_id(endless: Magistral) -> None:
    stream = endless.stream("x", temperature=0)
    events = []
    for event in stream:
        events.append(event)
        if len(events) == 3:
            stream.cancel()
    assert isinstance(events[-1], Finished)
    assert events[-1].reason is FinishReason.INTERRUPTED
    assert events[-1].usage.completion_tokens <= 10


def test_cancel_from_another_thread(endless: Magistral) -> None:
    stream = endless.stream("x", temperature=0)
    next(stream)
    threading.Thread(target=stream.cancel).start()
    *_, last = stream
    assert isinstance(last, Finished) and last.reason is FinishReason.INTERRUPTED


def test_cancel_before_the_first_id_still_finishes(endless: Magistral) -> None:
    stream = endless.stream("x " * 300, temperature=0)
    stream.cancel()
    (last,) = list(stream)
    assert isinstance(last, Finished) and last.reason is FinishReason.INTERRUPTED
    assert last.usage.completion_tokens == 0


def test_prompt_over_the_context_says_both_numbers(nano: Magistral) -> None:
    with pytest.raises(ContextLengthError) as caught:
        nano.stream("word " * 5000)
    assert caught.value.context_tokens == nano.context_tokens
    assert f"{caught.value.prompt_tokens:,}" in str(caught.value)
    assert f"{nano.context_tokens:,}" in str(caught.value)


def test_bad_arguments_fail_before_anything_is_computed(nano: Magistral) -> None:
    with pytest.raises(UsageError, match="Unknown option temprature"):
        nano.stream("x", temprature=1)
    with pytest.raises(UsageError, match="max_tokens"):
        nano.stream("x", max_tokens=0)
    with pytest.raises(PromptError):
        nano.stream([])


def test_tokenizer_of_another_size_is_refused(tmp_path: Path, endless_model: Path) -> None:
    shutil.copytree(nano_folder(), tmp_path / "m")
    text = (tmp_path / "m" / "tekken.json").read_text()
    size = Magistral.load("nano").config.vocab_size
    smaller = text.replace(f'"default_vocab_size": {size}', f'"default_vocab_size": {size - 64}')
    assert smaller != text
    (tmp_path / "m" / "tekken.json").write_text(smaller)
    with pytest.raises(CheckpointError, match="tekken.json has"):
        Magistral.load(tmp_path / "m")


def test_missing_tokenizer_is_named(tmp_path: Path) -> None:
    shutil.copytree(nano_folder(), tmp_path / "m")
    (tmp_path / "m" / "tekken.json").unlink()
    with pytest.raises(TokenizerError, match="tekken.json"):
        Magistral.load(tmp_path / "m")
