"""Peak memory, predicted and measured, of a small model with random weights."""

# mypy: allow-untyped-calls
# because mlx's modules are annotated in part only.

import gc
from dataclasses import dataclass

import mlx.core as mx

from mlx_magistral.bench.measure import parameter_bytes
from mlx_magistral.decode.generate import prefill
from mlx_magistral.memory.machine import Backend
from mlx_magistral.memory.sizes import decode_bytes, prompt_bytes
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.selftest.line import Line, judged

BASE = ModelConfig(
    dim=256,
    n_layers=4,
    head_dim=64,
    hidden_dim=1024,
    n_heads=4,
    n_kv_heads=2,
    vocab_size=4096,
    rope_theta=1e9,
    norm_eps=1e-5,
    max_position_embeddings=None,
    tie_word_embeddings=False,
)
MOST_ERROR = 0.05
_TOKENS, _CHUNK = 400, 128


@dataclass(frozen=True)
class Case:
    """One prefill: bytes predicted and measured, weights included."""

    shape: str
    tokens: int
    chunk_tokens: int
    kv_bits: int
    predicted: int
    measured: int

    @property
    def ratio(self) -> float:
        return self.predicted / self.measured


def measure_peak(shape: str, config: ModelConfig, tokens: int, chunk: int, bits: int) -> Case:
    """Prefill, then one id more; what else is allocated is taken off."""
    gc.collect()  # arrays of models that are gone would go meanwhile, and be taken off too
    mx.clear_cache()
    before = mx.get_active_memory()
    model = random_model(config)
    mx.clear_cache()
    weights = parameter_bytes(model)
    mx.reset_peak_memory()
    cache = make_cache(model, bits)
    tokens_in = [position % config.vocab_size for position in range(tokens)]
    logits = prefill(model, tokens_in, cache, chunk_tokens=chunk)
    assert logits is not None
    mx.eval(logits)
    mx.eval(model(mx.array([[1]]), cache))
    backend = Backend.here()
    prompt_peak = prompt_bytes(config, backend, chunk, tokens, bits)
    predicted = weights + max(prompt_peak, decode_bytes(config, backend, tokens + 1, bits))
    return Case(shape, tokens, chunk, bits, predicted, mx.get_peak_memory() - before)


def random_model(config: ModelConfig) -> Transformer:
    """Weights near zero, in bfloat16."""
    model = Transformer(config)
    model.apply(lambda array: (mx.random.normal(array.shape) * 0.02).astype(mx.bfloat16))
    mx.eval(model.parameters())
    return model


def peak_lines() -> list[Line]:
    """With 16- and 8-bit KV."""
    lines = []
    for bits in (16, 8):
        case = measure_peak("base", BASE, _TOKENS, _CHUNK, bits)
        figure = (
            f"{case.predicted / 1e6:.2f} MB predicted, {case.measured / 1e6:.2f} measured "
            f"({case.ratio - 1:+.1%}, at most {MOST_ERROR:.0%})"
        )
        is_ok = abs(case.ratio - 1) <= MOST_ERROR
        lines.append(judged(f"peak memory, {bits}-bit KV", is_ok, figure))
    return lines
