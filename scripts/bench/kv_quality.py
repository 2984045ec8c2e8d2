#!/usr/bin/env python3
"""What a quantized KV cache changes of what a model says: KL(16-bit KV || 8- and 4-bit KV).

Conversations are read 8 ids a pass through the cache (decode's attention; teacher-forced), so every
position attends to quantized keys and values. ``chunks`` is 16-bit KV read 64 ids a pass: what
rounding alone changes. Subjects: nano on its own conversations and, with --work, SmolLM2-135M off
its 4-bit grid (smollm2.py) on its own answers.

    scripts/bench/kv_quality.py [--work FOLDER] [--chats 16] [--json]
"""

import argparse
import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_magistral import Magistral
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.quantized_cache import DIRECT_ROWS
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import load_model
from smollm2 import PROMPTS, fetch_gguf, write_chats, write_checkpoint

_CHUNK = 64
# Name: KV bits and rows a pass.
CASES = {"chunks": (16, _CHUNK), "8-bit": (8, DIRECT_ROWS), "4-bit": (4, DIRECT_ROWS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="also SmolLM2, fetched once into this folder")
    parser.add_argument("--chats", type=int, default=16, help="conversations a model")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    subjects = {"nano": nano_chats(options.chats)}
    if options.work is not None:
        subjects["SmolLM2-135M"] = smollm2_chats(options.work, options.chats)
    rows = {name: measure(*subject) for name, subject in subjects.items()}
    if options.json:
        print(json.dumps(rows))
        return
    for name, cases in rows.items():
        for case, row in cases.items():
            print(
                f"{name:13} {case:7} {row['tokens']:6,} ids  KL mean {row['KL mean']:.2e}  "
                f"99 % {row['KL 99 %']:.2e}  top-1 {row['top-1 agreement']:.2%}"
            )


def nano_chats(count: int) -> tuple[Transformer, list[list[int]]]:
    """Sums of two numbers, and what nano thinks and answers."""
    nano, chats = Magistral.load("nano"), []
    for index in range(count):
        question = f"What is {37 + 29 * index} + {48 + 13 * index}?"
        stream = nano.stream(question, temperature=0, max_tokens=400, speculate="off")
        for _ in stream:
            pass
        chats.append(list(stream.progress.tokens))
    return nano.model, chats


def smollm2_chats(work: Path, count: int) -> tuple[Transformer, list[list[int]]]:
    """The last conversations of those that the model sampled itself."""
    checkpoint, file = work / "offgrid", work / f"chats-{len(PROMPTS)}.json"
    work.mkdir(parents=True, exist_ok=True)
    if not (checkpoint / "tokenizer.json").exists():
        write_checkpoint(fetch_gguf(work), checkpoint)
    if not file.exists():
        write_chats(checkpoint, file)
    return load_model(checkpoint).model, json.loads(file.read_text())[-count:]


def measure(model: Transformer, chats: list[list[int]]) -> dict[str, dict[str, Any]]:
    """KL in nats an id, over all positions of all conversations, by case."""
    divergences: dict[str, list[float]] = {name: [] for name in CASES}
    agreements: dict[str, list[bool]] = {name: [] for name in CASES}
    for tokens in chats:
        plain = log_probabilities(model, tokens, 16, DIRECT_ROWS)
        for name, (bits, rows) in CASES.items():
            other = log_probabilities(model, tokens, bits, rows)
            gaps = (mx.exp(plain) * (plain - other)).sum(axis=-1)
            divergences[name] += np.array(gaps).tolist()
            agreements[name] += np.array(plain.argmax(-1) == other.argmax(-1)).tolist()
    return {
        name: {
            "tokens": len(values),
            "KL mean": float(f"{np.mean(values):.4g}"),
            "KL 99 %": float(f"{np.quantile(values, 0.99):.4g}"),
            "top-1 agreement": float(f"{np.mean(agreements[name]):.4g}"),
        }
        for name, values in divergences.items()
    }


def log_probabilities(model: Transformer, tokens: list[int], bits: int, rows: int) -> mx.array:
    """(L, vocab) in float32, read ``rows`` ids a pass."""
    cache, parts = make_cache(model, bits), []
    for start in range(0, len(tokens), rows):
        logits = model(mx.array([tokens[start : start + rows]]), cache)[0].astype(mx.float32)
        parts.append(logits - mx.logsumexp(logits, axis=-1, keepdims=True))
        mx.eval(parts[-1], [layer.state for layer in cache])
    return mx.concatenate(parts)


if __name__ == "__main__":
    main()
