"""Guessing in the server: the ids of plain decoding in fewer passes, alone and beside others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model.eagle.heads import write_head
from server.collecting import Asked, collect, said

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral import Magistral
from mlx_magistral.errors import UsageError
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.server.backend import Backend
from mlx_magistral.server.batching import make_backend

QUESTIONS = ["What is 345 + 67?", "Sort 5, 3, 9.", "What is 47 * 36?", "What is 900 - 77?"]


@pytest.fixture(scope="module")
def drafted(tmp_path_factory: pytest.TempPathFactory) -> Magistral:
    """Nano, and its own 4-bit conversion as the draft: it guesses right most of the time."""
    folder = tmp_path_factory.mktemp("drafts") / "nano-4"
    convert_checkpoint(open_source(nano_folder()), folder, Recipe(4))
    return Magistral.load("nano", draft=folder)


@pytest.fixture
def guessing(drafted: Magistral) -> Iterator[Backend]:
    made = make_backend(drafted, speculate=3)
    yield made
    made.close(0)


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 1.2, "seed": 7}])
def test_ids_are_the_plain_ones_in_fewer_passes(
    nano: Magistral, guessing: Backend, options: dict[str, Any]
) -> None:
    plain = [collect(nano.stream(each, speculate="off", **options)) for each in QUESTIONS]
    asked = [Asked(guessing, question, **options) for question in QUESTIONS]
    assert [said(each.reply) for each in asked] == list(map(said, plain))
    assert all(each.reply.timings.tokens_per_pass > 1.5 for each in asked)


def test_alone_it_takes_the_passes_of_a_reply_by_itself(
    drafted: Magistral, guessing: Backend
) -> None:
    alone = collect(drafted.stream(QUESTIONS[0], temperature=0, speculate=3))
    served = Asked(guessing, QUESTIONS[0], temperature=0).reply
    assert served.timings.tokens_per_pass == alone.timings.tokens_per_pass
    assert served.timings.acceptance == alone.timings.acceptance


def test_each_keeps_its_own_limits(nano: Magistral, guessing: Backend) -> None:
    wanted: list[dict[str, Any]] = [
        {"temperature": 0, "think_budget": 8},
        {"temperature": 0.7, "seed": 1, "max_tokens": 12},
        {"temperature": 0, "repetition_penalty": 1.3, "max_tokens": 40},
        {"temperature": 0, "max_tokens": 1},
        {"temperature": 0, "thinking": "force", "stop": ("boxed",)},
        {"temperature": 0, "logprobs": 1, "max_tokens": 9},
    ]
    asked = [Asked(guessing, **options) for options in wanted]
    for options, each in zip(wanted, asked, strict=True):
        alone = nano.stream("What is 37 + 48?", speculate="off", **options)
        assert said(each.reply) == said(collect(alone))


def test_metrics_have_tokens_a_pass_and_acceptance(drafted: Magistral) -> None:
    from mlx_magistral.server.metrics import Metrics

    backend = make_backend(drafted, speculate=3)
    try:
        metrics = Metrics(backend)
        finished = Asked(backend, QUESTIONS[0], temperature=0).wait().events[-1]
        metrics.count(finished)  # type: ignore[arg-type]
    finally:
        backend.close(0)
    lines = dict(
        line.rsplit(" ", 1) for line in metrics.text().decode().splitlines() if line[0] != "#"
    )
    timings = finished.timings  # type: ignore[union-attr]
    tokens = float(lines['magistral_tokens_total{kind="completion"}'])
    kept, dropped = (
        float(lines[f'magistral_guesses_total{{outcome="{each}"}}']) for each in ("kept", "dropped")
    )
    assert tokens / float(lines["magistral_decode_passes_total"]) == pytest.approx(
        timings.tokens_per_pass
    )
    assert kept / (kept + dropped) == pytest.approx(timings.acceptance)


def test_a_wrong_setting_is_refused_before_anything_runs(nano: Magistral) -> None:
    with pytest.raises(UsageError, match="speculate must be"):
        make_backend(nano, speculate="fast")


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 1.2, "seed": 7}])
def test_a_head_guesses_for_several_replies_and_changes_none(
    nano: Magistral, tmp_path: Path, options: dict[str, Any]
) -> None:
    head = write_head(tmp_path / "head", nano.config)
    backend = make_backend(
        Magistral.load("nano", draft=head, reuse_prefixes=True), max_batch=3, speculate=3
    )
    questions = [*QUESTIONS, QUESTIONS[0]]
    plain = [collect(nano.stream(each, speculate="off", **options)) for each in questions]
    try:
        asked = [Asked(backend, question, **options) for question in questions]
        texts = [(each.reply.reasoning, each.reply.content) for each in asked]
        assert texts == [(each.reasoning, each.content) for each in plain]
        assert all(each.reply.timings.guesses > 0 for each in asked)
    finally:
        backend.close(0)


def test_each_reply_of_a_batch_drafts_from_its_own_states(tmp_path: Path) -> None:
    """What the head guesses beside others is what it guesses alone."""
    head = write_head(tmp_path / "head", Magistral.load("nano").config)
    model = Magistral.load("nano", draft=head)
    alone = [collect(model.stream(each, temperature=0, speculate=3)) for each in QUESTIONS]
    backend = make_backend(model, speculate=3)
    try:
        beside = [Asked(backend, question, temperature=0) for question in QUESTIONS]
        kept = [each.reply.timings.acceptance for each in beside]
    finally:
        backend.close(0)
    assert kept == [each.timings.acceptance for each in alone]
