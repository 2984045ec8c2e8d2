"""Replies made together are those made alone, and an error ends only its own."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mlx_magistral import Magistral
from mlx_magistral.batching.engine import BatchEngine
from mlx_magistral.batching.pool import Job, ReplyPool
from mlx_magistral.errors import ContextLengthError, OverloadedError
from mlx_magistral.evals.width import fitting_width
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.memory.sizes import kv_bytes
from mlx_magistral.model.checkpoint import open_checkpoint
from mlx_magistral.model.config import ModelConfig

QUESTIONS = ["What is 37 + 48?", "Sort 5, 3.", "hello"]


def jobs(**options: Any) -> list[Job]:
    return [Job(text, {"messages": text, **options}) for text in QUESTIONS]


@pytest.mark.parametrize("width", [1, 3])
def test_each_is_what_it_is_alone(nano: Magistral, width: int) -> None:
    with ReplyPool(nano, width) as pool:
        made = {each.key: each for each in pool.make(jobs(seed=5))}
    assert made.keys() == set(QUESTIONS)
    for question, each in made.items():
        alone = nano.generate(question, seed=5)
        together = each.said.reply()
        assert (together.reasoning, together.content) == (alone.reasoning, alone.content)
        assert together.usage == alone.usage
        assert each.seconds > 0


def test_a_job_that_cannot_be_fails_alone(nano: Magistral) -> None:
    long = Job("long", {"messages": "word " * 60_000})
    with ReplyPool(nano, 2) as pool:
        made = {each.key: each for each in pool.make([long, *jobs(max_tokens=4)])}
    assert isinstance(made.pop("long").error, ContextLengthError)
    assert [each.error for each in made.values()] == [None] * len(QUESTIONS)


def test_a_job_without_room_waits_until_there_is(
    nano: Magistral, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, refusals = BatchEngine.submit, []

    def reluctant(engine: BatchEngine, *arguments: Any) -> Any:
        if len(refusals) < 3:
            refusals.append(1)
            raise OverloadedError("no room", 1)
        return submit(engine, *arguments)

    monkeypatch.setattr(BatchEngine, "submit", reluctant)
    with ReplyPool(nano, 2) as pool:
        made = [each.key for each in pool.make(jobs(max_tokens=3))]
    assert sorted(made) == sorted(QUESTIONS) and len(refusals) == 3


def test_jobs_are_taken_as_there_is_room(nano: Magistral) -> None:
    """Whoever makes the jobs may decide late: a bound on time, say."""
    taken = 0

    def endless() -> Any:
        nonlocal taken
        while True:
            taken += 1
            yield Job(taken, {"messages": "hello", "max_tokens": 2})

    with ReplyPool(nano, 2) as pool:
        replies = pool.make(endless())
        for _ in range(3):
            next(replies)
    assert taken < 10


@pytest.mark.parametrize(("gigabytes", "width"), [(-1, 1), (0, 5), (4, 7), (60, 16)])
def test_width_follows_the_memory_plan(gigabytes: int, width: int) -> None:
    """Magistral on a 32 GB Mac: its context's KV is 6.71 GB, an expected reply's 1.34."""
    config = nano_config(dim=5120, n_layers=40, head_dim=128, n_heads=32, n_kv_heads=8)
    kv = kv_bytes(config, 40960, 16)
    plan = SimpleNamespace(
        kv_bytes=kv if gigabytes >= 0 else 0,
        free_bytes=gigabytes * 10**9,
        kv_bits=16,
        context_tokens=40960,
    )
    model: Any = SimpleNamespace(config=config, memory=SimpleNamespace(plan=plan))
    assert fitting_width(model) == width


def nano_config(**fields: Any) -> ModelConfig:
    return replace(open_checkpoint(nano_folder()).config, **fields)


def test_leaving_early_ends_what_runs(nano: Magistral) -> None:
    with ReplyPool(nano, 2) as pool:
        next(pool.make(jobs(temperature=0)))
