"""Peers that the model is compared with; a test that asks for one is skipped where it is absent."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest


@pytest.fixture
def mlx_lm_model() -> Iterator[Callable[[Path], Any]]:
    """Loads a folder with mlx-lm; without mx.compile, which would start a C++ compiler."""
    utils = pytest.importorskip("mlx_lm.utils", reason="mlx-lm is in the dev extra")
    mx.disable_compile()
    yield lambda folder: utils.load_model(folder)[0]
    mx.enable_compile()


@pytest.fixture
def transformers_logits() -> Callable[[Path, str, list[list[int]]], mx.array]:
    """Logits of transformers' MistralForCausalLM for a folder, a dtype and tokens."""
    torch = pytest.importorskip("torch", reason="torch is in the dev extra")
    transformers = pytest.importorskip("transformers", reason="transformers is in the dev extra")
    transformers.utils.logging.disable_progress_bar()

    def logits(folder: Path, dtype: str, tokens: list[list[int]]) -> mx.array:
        model = transformers.MistralForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), attn_implementation="eager"
        )
        with torch.no_grad():
            return mx.array(model(torch.tensor(tokens)).logits.float().numpy())

    return logits
