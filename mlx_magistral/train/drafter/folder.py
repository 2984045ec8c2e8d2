"""write_head_folder: a trained head as a folder of vllm-project/speculators, which vLLM loads too.

Tensors go by their published names, in 16 bits; t2d and d2t say which ids the columns stand for.
The embedding is the target's, and vLLM takes it from there.
"""

# mypy: allow-untyped-calls

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from mlx_magistral.model.eagle.config import HeadConfig
from mlx_magistral.model.eagle.network import Head
from mlx_magistral.model.eagle.reading import CONFIG_FILE, WEIGHTS_FILE
from mlx_magistral.train.files import write_text, write_whole

CARD_FILE = "README.md"
# What vLLM guesses at a time unless it is told otherwise.
_GUESSES = 3


def write_head_folder(
    folder: Path,
    head: Head,
    config: HeadConfig,
    targets: mx.array,
    target_name: str,
    card: str,
    dtype: mx.Dtype = mx.bfloat16,
) -> None:
    """Write or replace config, weights and card, each at once; ``targets`` (columns,) are the ids
    that the columns stand for."""
    flat: Any = tree_flatten(head.parameters())
    tensors = {name: each.astype(dtype) for name, each in flat}
    ids = targets.astype(mx.int64)
    tensors["d2t"] = ids - mx.arange(ids.shape[0], dtype=mx.int64)
    said = mx.zeros((config.layer.vocab_size,), mx.bool_)
    said[targets] = True
    tensors["t2d"] = said
    folder.mkdir(parents=True, exist_ok=True)
    metadata = {"format": "pt"}
    write_whole(
        folder / WEIGHTS_FILE, lambda draft: mx.save_safetensors(str(draft), tensors, metadata)
    )
    content = config.to_json(target_name, _GUESSES)
    write_text(folder / CONFIG_FILE, json.dumps(content, indent=2) + "\n")
    write_text(folder / CARD_FILE, card)
