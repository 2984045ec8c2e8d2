"""nano, loaded once."""

import pytest

from mlx_magistral import Magistral


@pytest.fixture(scope="session")
def nano() -> Magistral:
    return Magistral.load("nano")
