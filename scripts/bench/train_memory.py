#!/usr/bin/env python3
"""Predicted against measured peak memory of a training step, on scaled shapes.

Random models in bf16, or quantized, take a step of gradients and one of the optimizer, with all
layers' activations and with one layer's. ``ratio`` is the median of predicted / measured
(mx.get_peak_memory()); ``cases`` has each. --unseen takes shapes that no constant was fitted to.
--table measures nothing: it prints what the plan says of Magistral Small at 4 bits on Macs, as
docs/training.md has it.

    scripts/bench/train_memory.py [--unseen] [--json]
    scripts/bench/train_memory.py --table
"""

import argparse
import gc
import json
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_unflatten

from mlx_magistral.memory.known import MAGISTRAL_SMALL
from mlx_magistral.memory.machine import simulated_mac, this_machine
from mlx_magistral.memory.sizes import weight_bytes
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.train.example import Example, packed
from mlx_magistral.train.gradients import layer_by_layer, trainable, whole_graph
from mlx_magistral.train.method import prepare
from mlx_magistral.train.optimizer import clipped, make_optimizer
from mlx_magistral.train.options import Method, TrainOptions
from mlx_magistral.train.packing import Pack
from mlx_magistral.train.plan import PackLoad, plan_training

BASE = ModelConfig(
    dim=256,
    n_layers=4,
    head_dim=64,
    hidden_dim=1024,
    n_heads=8,
    n_kv_heads=2,
    vocab_size=2048,
    rope_theta=1e9,
    norm_eps=1e-5,
    max_position_embeddings=None,
    tie_word_embeddings=False,
)
SHAPES = {
    "base": BASE,
    "deep": replace(BASE, n_layers=8, hidden_dim=512, n_heads=4),
    "wide": replace(BASE, dim=512, hidden_dim=2048, n_kv_heads=4, vocab_size=1024),
    "magistral's ratios": replace(BASE, dim=320, hidden_dim=2048, n_heads=4, n_kv_heads=1),
    "narrow": replace(BASE, dim=192, hidden_dim=640, n_heads=6, n_kv_heads=3, n_layers=5),
    "large vocabulary": replace(BASE, hidden_dim=768, n_kv_heads=8, head_dim=32, vocab_size=16384),
}
UNSEEN = {
    "many heads": replace(
        BASE, dim=224, hidden_dim=704, n_heads=12, head_dim=32, n_kv_heads=6, n_layers=3
    ),
    "chunks of the head": replace(BASE, n_layers=2, vocab_size=65536),
    "wide heads": replace(BASE, dim=384, hidden_dim=1280, head_dim=128, n_heads=4, n_kv_heads=2),
}
LORA = TrainOptions(rank=16)
MACS = (32, 48, 64, 128)
LENGTHS = (2048, 8192, 16384)


@dataclass(frozen=True)
class Case:
    """One step to measure."""

    shape: str
    config: ModelConfig
    lengths: tuple[int, ...]
    options: TrainOptions = LORA
    bits: int = 16


def main() -> None:
    """Measure every case and print predicted and measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unseen", action="store_true", help="shapes that nothing was fitted to")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    parser.add_argument("--table", action="store_true", help="Magistral's plans as Markdown")
    options = parser.parse_args()
    if options.table:
        print_table()
        return
    rows = []
    for case in cases(UNSEEN if options.unseen else SHAPES):
        for is_checkpointed in (False, True):
            rows.append(row(case, is_checkpointed))
            print(f"{len(rows)} measured", file=sys.stderr, flush=True)
            if not options.json:
                print("{shape:18} {lengths:16} {bits:2} bits {method:5} {rank:3} {way:10} "
                      "{predicted_mb:8.1f} {measured_mb:8.1f} {ratio:6.2f}".format(**rows[-1]),
                      flush=True)  # fmt: skip
    ratios = [each["ratio"] for each in rows]
    worst = max(ratios, key=lambda ratio: abs(ratio - 1))
    if options.json:
        print(json.dumps({"ratio": statistics.median(ratios), "worst": worst, "cases": rows}))
    else:
        print(f"median {statistics.median(ratios):.3f}, worst {worst:.3f}")


def print_table() -> None:
    """One example at a time, LoRA of rank 16 on all linears, the quicker way where it fits."""
    macs = [simulated_mac(gigabytes << 30) for gigabytes in MACS]
    weights = weight_bytes(MAGISTRAL_SMALL, 4)
    names = " | ".join(f"{gigabytes} GB" for gigabytes in MACS)
    print(f"| ids of an example | GB, a layer at a time | {names} |")
    print("|---|---|" + "---|" * len(MACS))
    for tokens in LENGTHS:
        load = [PackLoad.one(tokens)]
        least = plan_training(MAGISTRAL_SMALL, weights, LORA, load, macs[-1], is_checkpointed=True)
        row = [f"{tokens:,}", f"{(least.peak_bytes + least.reserve_bytes) / 1e9:.1f}"]
        for mac in macs:
            plan = plan_training(MAGISTRAL_SMALL, weights, LORA, load, mac)
            way = "a layer at a time" if plan.is_checkpointed else "all layers"
            row.append(way if plan.fits else "no")
        print("| " + " | ".join(row) + " |")


def cases(shapes: dict[str, ModelConfig]) -> Iterator[Case]:
    """Every shape with one and with four examples; variants of the method on the first."""
    for name, config in shapes.items():
        for lengths in ((384,), (96, 96, 96, 96), (768,)):
            yield Case(name, config, lengths)
    name, config = next(iter(shapes.items()))
    yield Case(name, config, (384,), replace(LORA, rank=4))
    yield Case(name, config, (384,), replace(LORA, rank=64))
    yield Case(name, config, (384,), replace(LORA, num_layers=2))
    yield Case(name, config, (384,), replace(LORA, method=Method.DORA))
    yield Case(name, config, (384,), replace(LORA, method=Method.FULL))
    yield Case(name, config, (384,), replace(LORA, optimizer_bits=8, rank=64))
    yield Case(name, config, (384,), bits=4)
    yield Case(name, config, (1536,))
    yield Case(name, config, (3072,))
    yield Case(name, config, (64, 200, 640))
    yield Case(name, config, (768,), replace(LORA, method=Method.DORA))
    yield Case(name, config, (768,), replace(LORA, method=Method.FULL))


def row(case: Case, is_checkpointed: bool) -> dict[str, Any]:
    """Predicted and measured MB of a case."""
    pack = random_pack(case.lengths, case.config.vocab_size)
    weights, measured = measure(case, pack, is_checkpointed)
    plan = plan_training(
        case.config,
        weights,
        case.options,
        [PackLoad.of(pack)],
        this_machine(),
        is_checkpointed=is_checkpointed,
    )
    return {
        "shape": case.shape,
        "lengths": "+".join(map(str, case.lengths)),
        "bits": case.bits,
        "method": case.options.method.value,
        "rank": case.options.rank,
        "num_layers": case.options.num_layers,
        "optimizer_bits": case.options.optimizer_bits,
        "way": "one layer" if is_checkpointed else "all layers",
        "weights_mb": weights / 1e6,
        "trained_mb": plan.trained_bytes / 1e6,
        "predicted_mb": plan.peak_bytes / 1e6,
        "measured_mb": measured / 1e6,
        "ratio": plan.peak_bytes / measured,
    }


def measure(case: Case, pack: Pack, is_checkpointed: bool) -> tuple[int, int]:
    """Bytes of the weights as stored, and the peak of the second of two steps."""
    mx.random.seed(0)
    model = Transformer(case.config)
    model.set_dtype(mx.bfloat16)
    if case.bits < 16:
        nn.quantize(model, 32, case.bits)
    prepare(model, case.options)
    weights = base_bytes(model, case)
    optimizer = make_optimizer(case.options)
    optimizer.init(trainable(model))
    optimizer.learning_rate = 1e-4
    mx.eval(model.parameters(), optimizer.state)
    way = layer_by_layer if is_checkpointed else whole_graph
    for _ in range(2):
        gc.collect()
        mx.clear_cache()
        mx.reset_peak_memory()
        part = way(model, pack)
        mx.eval(part)
        gradients, _ = clipped(part.gradients, 1.0)
        updated = optimizer.apply_gradients(gradients, trainable(model))
        model.update(tree_unflatten(list(updated.items())))
        mx.eval(updated, optimizer.state)
        measured = mx.get_peak_memory()
        del part, gradients, updated
    return weights, measured


def base_bytes(model: Transformer, case: Case) -> int:
    """Bytes of the weights as they are there while a step runs: a CPU unpacks quantized ones."""
    frozen: Any = tree_flatten(model.parameters())
    trained = trainable(model)
    if case.options.method is Method.FULL:
        return sum(array.size * 2 for _, array in frozen)
    return sum(array.nbytes for name, array in frozen if name not in trained)


def random_pack(lengths: Sequence[int], vocabulary: int) -> Pack:
    """Two thirds of each example's ids are learned."""
    draw = random.Random(0)
    return Pack(
        tuple(
            Example(
                packed([draw.randrange(vocabulary) for _ in range(length + 1)]),
                ((length // 3, length + 1),),
                "random",
            )
            for length in lengths
        )
    )


if __name__ == "__main__":
    main()
