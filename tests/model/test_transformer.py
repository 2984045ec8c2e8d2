"""The model is Mistral: transformers, mlx-lm and itself agree, however the tokens are fed."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import mlx.core as mx
import pytest
from model.builders import CONFIGS, SMALL, random_weights, write_hf, write_native

from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import load_model

TOKENS = [[(7 * i + 3 * row) % 128 for i in range(17)] for row in range(2)]
# The most two implementations may differ in a logit, where the largest are near 1.
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}


def difference(ours: mx.array, theirs: mx.array) -> float:
    return float(mx.abs(ours.astype(mx.float32) - theirs.astype(mx.float32)).max().item())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Transformer:
    return load_model(write_hf(tmp_path_factory.mktemp("small"))).model


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_logits_equal_transformers_and_mlx_lm(
    config: ModelConfig, dtype: str, tmp_path: Path, transformers_logits, mlx_lm_model
) -> None:
    weights = random_weights(config, getattr(mx, dtype))
    folder = write_hf(tmp_path / "hf", config, weights)
    native = write_native(tmp_path / "native", config, weights)
    ours = load_model(folder).model(mx.array(TOKENS))
    assert ours.dtype == getattr(mx, dtype)
    assert mx.abs(ours).max() > 0.5
    assert mx.array_equal(load_model(native).model(mx.array(TOKENS)), ours)
    reference = transformers_logits(folder, dtype, TOKENS)
    assert difference(ours, reference) <= TOLERANCE[dtype]
    assert difference(ours, mlx_lm_model(folder)(mx.array(TOKENS))) <= TOLERANCE[dtype]


def test_unpermuted_heads_would_be_noticed(tmp_path: Path) -> None:
    weights = random_weights(SMALL)
    right = load_model(write_hf(tmp_path / "right", SMALL, weights)).model(mx.array(TOKENS))
    native = write_native(tmp_path / "native", SMALL, weights)
    raw = mx.load(str(native / "consolidated.safetensors"))
    swapped = weights | {
        f"model.layers.{n}.self_attn.{hf}.weight": raw[f"layers.{n}.attention.{name}.weight"]
        for n in range(SMALL.n_layers)
        for name, hf in (("wq", "q_proj"), ("wk", "k_proj"))
    }
    wrong = load_model(write_hf(tmp_path / "wrong", SMALL, swapped)).model(mx.array(TOKENS))
    assert difference(right, wrong) > 0.05


@pytest.mark.parametrize("chunks", [[17], [1] * 17, [1, 16], [16, 1], [5, 7, 5], [2, 1, 3, 11]])
def test_any_chunking_gives_the_logits_of_the_whole(small: Transformer, chunks: list[int]) -> None:
    whole = small(mx.array(TOKENS))
    cache = make_cache(small)
    bounds = itertools.pairwise(itertools.accumulate(chunks, initial=0))
    parts = [small(mx.array(TOKENS)[:, start:stop], cache) for start, stop in bounds]
    assert difference(mx.concatenate(parts, axis=1), whole) <= 1e-5
    assert [layer.offset for layer in cache] == [17, 17]


def test_long_prompt_grows_the_cache_and_stays_right(small: Transformer) -> None:
    tokens = mx.arange(600)[None] * 7 % 128
    whole = small(tokens)
    cache = make_cache(SMALL)
    parts = [small(tokens[:, :250], cache), small(tokens[:, 250:520], cache)]
    parts += [small(tokens[:, 520:], cache)]
    assert difference(mx.concatenate(parts, axis=1), whole) <= 1e-4


def test_trimmed_cache_is_as_if_the_tokens_had_not_been(small: Transformer) -> None:
    cache = make_cache(small)
    small(mx.array([[1, 2, 3, 90, 91, 92]]), cache)
    for layer in cache:
        assert layer.trim(3) == 3
    continued = small(mx.array([[4, 5]]), cache)
    assert difference(continued, small(mx.array([[1, 2, 3, 4, 5]]))[:, 3:]) <= 1e-5


def test_logits_of_the_last_position_alone(small: Transformer) -> None:
    tokens = mx.array(TOKENS)
    last = small.logits(small.hidden(tokens)[:, -1:])
    assert last.shape == (2, 1, 128)
    assert difference(last, small(tokens)[:, -1:]) <= 1e-5


def test_first_pass_starts_no_compiler(tmp_path: Path) -> None:
    folder = write_hf(tmp_path)
    code = (
        "import sys, mlx.core as mx; from mlx_magistral import load_model;"
        "from mlx_magistral.model.caches import make_cache;"
        "model, _ = load_model(sys.argv[1]); mx.eval(model(mx.array([[1, 2]]), make_cache(model)));"
        "print([name for name in ('mlx_lm', 'numpy', 'torch') if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    # Without a PATH there is no compiler to find.
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env={**os.environ, "PATH": "", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"
