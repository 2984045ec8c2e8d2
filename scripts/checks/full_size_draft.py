#!/usr/bin/env python3
"""A whole-model draft of the shape of alamios/Mistral-Small-3.1-DRAFT-0.5B, with random weights.

A Qwen2 body of 24 layers on tekken's 131,072 ids, in bf16, guesses for a small Mistral of random
weights on the same vocabulary. It has to load, to guess, and to change no id. Tells what the draft
takes on disk and what a guess of it takes here. Fails (exit 1) where an id differs.

    scripts/checks/full_size_draft.py --work DIR [--tokens 8] [--json]
"""

# mypy: allow-untyped-calls

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten
from transformers.convert_slow_tokenizer import bytes_to_unicode

from mlx_magistral import Magistral
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import Transformer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from full_tekken import VOCABULARY, write_full_tekken  # noqa: E402

DRAFT: dict[str, Any] = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "num_hidden_layers": 24,
    "intermediate_size": 4864,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "vocab_size": VOCABULARY,
    "rope_theta": 1e6,
    "max_position_embeddings": 32768,
    "tie_word_embeddings": True,
}
TARGET: dict[str, Any] = {
    "model_type": "mistral",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "rms_norm_eps": 1e-5,
    "vocab_size": VOCABULARY,
    "rope_theta": 1e9,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
}


def write_target(folder: Path) -> Path:
    """A Mistral of two narrow layers."""
    folder.mkdir(parents=True)
    write_full_tekken(folder)
    shutil.copy(nano_folder() / "SYSTEM_PROMPT.txt", folder)
    _write(folder, TARGET, Transformer(ModelConfig.from_hf(TARGET, "this script")))
    return folder


def write_draft(folder: Path, target: Path) -> Path:
    """The draft, its vocabulary as a byte-level BPE."""
    from mlx_lm.models.qwen2 import Model, ModelArgs

    from mlx_magistral.text.tokenizer import load_tokenizer

    folder.mkdir(parents=True)
    _write(folder, DRAFT, Model(ModelArgs.from_dict(DRAFT)))
    letters, tokenizer = bytes_to_unicode(), load_tokenizer(target)
    vocabulary = {
        "".join(letters[byte] for byte in tokenizer.id_to_bytes(id)): id
        for id in range(tokenizer.control_count, tokenizer.vocab_size)
    }
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    return folder


def _write(folder: Path, config: dict[str, Any], model: Any) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    mx.random.seed(0)
    parameters: Any = tree_flatten(model.parameters())
    weights = {
        name: mx.ones(each.shape, mx.bfloat16)
        if name.endswith("norm.weight")
        else mx.random.normal(each.shape, mx.bfloat16, scale=0.05)
        for name, each in parameters
    }
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    target, draft = args.work / "target", args.work / "draft"
    if not target.exists():
        write_target(target)
    if not draft.exists():
        write_draft(draft, target)
    options: dict[str, Any] = {"temperature": 0, "max_tokens": args.tokens, "on_loop": "off"}
    plain = Magistral.load(target).generate("Hello", speculate="off", **options)
    drafted = Magistral.load(target, draft=draft)
    reply = drafted.generate("Hello", speculate=2, **options)
    assert drafted.draft_model is not None
    is_equal = (reply.reasoning, reply.content) == (plain.reasoning, plain.content)
    found = {
        "draft_gb": round((draft / "model.safetensors").stat().st_size / 1e9, 2),
        "guess_s_here": round(drafted.draft_model.guess_s, 3),
        "tokens": reply.usage.completion_tokens,
        "guesses": reply.timings.guesses,
        "equal_to_plain": is_equal,
    }
    print(json.dumps(found) if args.json else found)
    sys.exit(not is_equal or not reply.timings.guesses)


if __name__ == "__main__":
    main()
