"""A backend on nano, and one on a model that greedy never ends."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mlx_magistral import Magistral
from mlx_magistral.server.backend import Backend
from mlx_magistral.server.batching import make_backend


@pytest.fixture(scope="session")
def nano() -> Magistral:
    return Magistral.load("nano")


@pytest.fixture(scope="session")
def endless(endless_model: Path) -> Magistral:
    return Magistral.load(endless_model)


@pytest.fixture
def backend(nano: Magistral) -> Iterator[Backend]:
    made = make_backend(nano)
    yield made
    made.close(0)


@pytest.fixture
def endless_backend(endless: Magistral) -> Iterator[Backend]:
    made = make_backend(endless, max_batch=2, max_queue=2, speculate="off")
    yield made
    made.close(0)
