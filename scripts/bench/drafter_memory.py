#!/usr/bin/env python3
"""Peak memory of a training of a head against its plan, on scaled shapes with random weights.

Each case runs two steps of a pack in a process of its own and compares mx.get_peak_memory(), the
model's weights left out, with what the plan says. --table prints the plan for Magistral Small on
Macs instead: arithmetic.

    scripts/bench/drafter_memory.py [--json] [--table]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from array import array
from dataclasses import replace
from pathlib import Path
from statistics import median

import mlx.core as mx

sys.path[:0] = [str(Path(__file__).parents[2] / "tests")]

from model.builders import SMALL, random_weights  # noqa: E402

from mlx_magistral.memory.known import MAGISTRAL_SMALL  # noqa: E402
from mlx_magistral.memory.machine import Backend, simulated_mac  # noqa: E402
from mlx_magistral.memory.sizes import weight_bytes  # noqa: E402
from mlx_magistral.model.transformer import Transformer  # noqa: E402
from mlx_magistral.train.drafter.fresh import fresh_head, head_config  # noqa: E402
from mlx_magistral.train.drafter.options import DrafterOptions  # noqa: E402
from mlx_magistral.train.drafter.plan import pack_bytes, plan_drafter, trained_bytes  # noqa: E402
from mlx_magistral.train.drafter.said import Said  # noqa: E402
from mlx_magistral.train.drafter.states import TargetStates  # noqa: E402
from mlx_magistral.train.drafter.trainer import DrafterTrainer  # noqa: E402

BASE = replace(
    SMALL,
    dim=256,
    n_layers=6,
    hidden_dim=768,
    n_heads=8,
    n_kv_heads=2,
    head_dim=64,
    vocab_size=8192,
)
CASES = {
    "base": (BASE, DrafterOptions(steps=2, pack_tokens=512, draft_vocab=4096)),
    "long": (BASE, DrafterOptions(steps=2, pack_tokens=1024, draft_vocab=2048, unroll=3)),
    "wide": (replace(BASE, dim=640), DrafterOptions(steps=2, pack_tokens=256, draft_vocab=2048)),
    "words": (BASE, DrafterOptions(steps=2, pack_tokens=256, draft_vocab=8192, optimizer_bits=8)),
}


def measure(name: str) -> dict[str, float]:
    """One case, here."""
    config, options = CASES[name]
    model = Transformer(config)
    model.load_weights(list(random_weights(config).items()))
    head_shape = head_config(config, options.draft_vocab)
    targets = mx.arange(options.draft_vocab).astype(mx.uint32)
    ids = mx.random.randint(0, config.vocab_size, (options.pack_tokens,)).tolist()
    said = Said(array("I", ids), 8)  # type: ignore[arg-type]
    states = mx.random.normal((32, 3 * config.dim))
    head = fresh_head(head_shape, model, targets, states, 0)
    mx.eval(model.parameters(), head.parameters())
    weights = weight_bytes(config, 16) * 2
    with tempfile.TemporaryDirectory() as folder:
        trainer = DrafterTrainer(
            head,
            model,
            targets,
            TargetStates(model, head_shape.aux_layers, chunk_tokens=256),
            [said],
            [],
            options,
            Path(folder),
            {},
            lambda head, history: None,
        )
        mx.reset_peak_memory()
        trainer.run()
    planned = trained_bytes(head_shape, options.optimizer_bits)
    planned += pack_bytes(config, head_shape, options, Backend.CPU)
    return {"measured": mx.get_peak_memory() - weights, "planned": planned}


def table() -> None:
    """The plan for Magistral Small at 4 bits."""
    for memory in (32, 48, 64):
        machine = simulated_mac(memory * 2**30)
        options = DrafterOptions()
        head = head_config(MAGISTRAL_SMALL, options.draft_vocab)
        weights = weight_bytes(MAGISTRAL_SMALL, 4)
        plan = plan_drafter(MAGISTRAL_SMALL, weights, int(2e9), head, options, machine)
        print(f"{memory} GB: {'fits' if plan.fits else 'does not fit'}. {plan.describe()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.table:
        table()
        return
    if args.case:
        print(json.dumps(measure(args.case)))
        return
    rows = []
    for name in CASES:
        command = [sys.executable, __file__, "--case", name]
        row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        rows.append({"case": name, **row, "ratio": row["planned"] / row["measured"]})
        if not args.json:
            print(
                f"{name}: measured {row['measured'] / 1e6:,.0f} MB, planned "
                f"{row['planned'] / 1e6:,.0f} MB, {rows[-1]['ratio']:.2f} times"
            )
    if args.json:
        print(json.dumps({"ratio": median(row["ratio"] for row in rows), "cases": rows}))


if __name__ == "__main__":
    main()
