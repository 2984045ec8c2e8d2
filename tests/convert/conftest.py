"""Checkpoints that the converter's tests share."""

from pathlib import Path

import pytest

from tests.convert.tiny_checkpoints import hf_weights, native_weights, write_hf, write_native


@pytest.fixture(scope="session")
def native_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny native checkpoint in bf16; read only."""
    return write_native(tmp_path_factory.mktemp("native"), native_weights())


@pytest.fixture(scope="session")
def hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model as two HF shards; read only."""
    return write_hf(tmp_path_factory.mktemp("hf"), hf_weights(native_weights()))
