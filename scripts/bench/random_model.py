"""A model of nano's tokenizer and proportions with random weights, for benchmarks.

Its replies mean nothing and go on to max_tokens; nano's own end too soon to be timed, and nano's
context ends at 2,048 tokens.
"""

import json
import shutil
from pathlib import Path

import mlx.core as mx

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral.hub.resolve import nano_folder


def make_model(
    scratch: Path, *, dim: int = 128, layers: int = 4, context_tokens: int | None = None
) -> Path:
    """A converted folder under ``scratch``; without sizes it has nano's shape and context."""
    source, folder = scratch / "native", scratch / "model"
    source.mkdir()
    for name in ("params.json", "tekken.json", "SYSTEM_PROMPT.txt"):
        shutil.copy(nano_folder() / name, source / name)
    params = json.loads((source / "params.json").read_text())
    scale = dim / params["dim"]
    sizes = {key: round(params[key] * scale) for key in ("hidden_dim", "n_heads", "n_kv_heads")}
    params |= {**sizes, "dim": dim, "n_layers": layers}
    params["max_position_embeddings"] = context_tokens or params["max_position_embeddings"]
    (source / "params.json").write_text(json.dumps(params))
    mx.random.seed(0)
    spread = 0.1 * scale**-0.5  # so that what a layer adds stays as large
    weights = {
        name: mx.ones(shape, mx.bfloat16)
        if len(shape) == 1
        else (mx.random.normal(shape) * spread).astype(mx.bfloat16)
        for name, shape in _shapes(params).items()
    }
    mx.save_safetensors(str(source / "consolidated.safetensors"), weights)
    convert_checkpoint(open_source(source), folder, Recipe(16))
    return folder


def _shapes(params: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Every weight of a native checkpoint."""
    dim, hidden, vocab = params["dim"], params["hidden_dim"], params["vocab_size"]
    rows = params["n_heads"] * params["head_dim"]
    kv_rows = params["n_kv_heads"] * params["head_dim"]
    layer: dict[str, tuple[int, ...]] = {
        "attention.wq.weight": (rows, dim),
        "attention.wk.weight": (kv_rows, dim),
        "attention.wv.weight": (kv_rows, dim),
        "attention.wo.weight": (dim, rows),
        "feed_forward.w1.weight": (hidden, dim),
        "feed_forward.w2.weight": (dim, hidden),
        "feed_forward.w3.weight": (hidden, dim),
        "attention_norm.weight": (dim,),
        "ffn_norm.weight": (dim,),
    }
    return {
        "tok_embeddings.weight": (vocab, dim),
        "output.weight": (vocab, dim),
        "norm.weight": (dim,),
        **{
            f"layers.{index}.{name}": shape
            for index in range(params["n_layers"])
            for name, shape in layer.items()
        },
    }
