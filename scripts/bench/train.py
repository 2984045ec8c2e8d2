#!/usr/bin/env python3
"""Training against mlx-lm's tuner: peak memory at Magistral's vocabulary, and tokens per second.

memory  The gradients of one example at 131,072 columns, on a model that is nearly all head; ours
        layer by layer with the head in chunks, theirs as their train() computes them. ``ratio`` is
        ours / theirs of mx.get_peak_memory(), each in this process. Theirs takes 1.1 MB a token.
speed   nano with LoRA on the same linears, the same chats, batch and optimizer; theirs is train()
        as it is. Passes over the data take turns and the first of each is not counted. ``ratio`` is
        the median of ours / theirs. --cpu-time counts the process's own seconds of CPU.
        --chats says where a factor comes from: `official` have the official prompt, which ours
        computes once a batch; `own` begin with the question, so that padding alone is saved;
        `even` are of 64 ids each besides, where there is nothing to save.

Needs the dev extra (mlx-lm).

    scripts/bench/train.py memory [--tokens 8192] [--json]
    scripts/bench/train.py speed [--chats official|own|even] [--examples 48] [--batch-size 8]
                                 [--passes 3] [--cpu-time] [--json]
"""

import argparse
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx_lm.tuner.callbacks import TrainingCallback
from mlx_lm.tuner.trainer import TrainingArgs, default_loss, train
from mlx_lm.tuner.utils import linear_to_lora_layers

from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import load_model
from mlx_magistral.text.tokenizer import load_tokenizer
from mlx_magistral.train.dataset import Dataset, make_dataset
from mlx_magistral.train.encoding import FinetuningEncoder
from mlx_magistral.train.example import Example, packed
from mlx_magistral.train.gradients import layer_by_layer
from mlx_magistral.train.history import History, StepRecord
from mlx_magistral.train.method import prepare
from mlx_magistral.train.options import TrainOptions
from mlx_magistral.train.packing import Pack
from mlx_magistral.train.trainer import Base, Trainer
from mlx_magistral.train.watcher import Watcher

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nano"))

VOCABULARY, RANK, SCALE = 131_072, 8, 2.0
# Theirs pads to a multiple of 32.
EVEN_TOKENS = 64
HEAD_SHAPE = ModelConfig(
    dim=64,
    n_layers=2,
    head_dim=32,
    hidden_dim=128,
    n_heads=2,
    n_kv_heads=1,
    vocab_size=VOCABULARY,
    rope_theta=1e9,
    norm_eps=1e-5,
    max_position_embeddings=None,
    tie_word_embeddings=False,
)


def main() -> None:
    """Parse the command line and print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("memory", "speed"))
    parser.add_argument("--tokens", type=int, default=8192, help="of the example (memory)")
    parser.add_argument("--examples", type=int, default=48, help="chats (speed)")
    parser.add_argument("--chats", choices=("official", "own", "even"), default="official")
    parser.add_argument("--batch-size", type=int, default=8, help="(speed)")
    parser.add_argument("--passes", type=int, default=3, help="over the data, the first for warmth")
    parser.add_argument("--cpu-time", action="store_true", help="seconds of CPU, not of the clock")
    parser.add_argument("--json", action="store_true", help="print one object instead of text")
    options = parser.parse_args()
    result = memory(options.tokens) if options.what == "memory" else speed(options)
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:14} {value:,.3f}" if isinstance(value, float) else f"{name:14} {value:,}")


def memory(tokens: int) -> dict[str, float]:
    """Peaks over the weights of one example's loss and gradients."""
    draw = random.Random(0)
    ids = [draw.randrange(VOCABULARY) for _ in range(tokens + 1)]
    mine, other = our_peak(ids), their_peak(ids)
    sizes = {"ours_mb": mine / 1e6, "mlx_lm_mb": other / 1e6}
    return {"tokens": tokens, **sizes, "ratio": mine / other}


def our_peak(ids: list[int]) -> int:
    """Of one example, layer by layer."""
    model = head_model()
    prepare(model, TrainOptions(rank=RANK, alpha=RANK * SCALE))
    example = Example(packed(ids), ((1, len(ids)),), "random")
    return peak(lambda: layer_by_layer(model, Pack((example,))))


def their_peak(ids: list[int]) -> int:
    """Of the same as a batch of one, by their loss and nn.value_and_grad."""
    model = head_model()
    their_adapter(model)
    batch, lengths = mx.array([ids]), mx.array([[0, len(ids) - 1]])
    value_and_grad = nn.value_and_grad(model, default_loss)
    return peak(lambda: value_and_grad(model, batch, lengths))


def head_model() -> Transformer:
    """Random weights in bf16."""
    mx.random.seed(0)
    model = Transformer(HEAD_SHAPE)
    model.set_dtype(mx.bfloat16)
    mx.eval(model.parameters())
    return model


def their_adapter(model: Transformer) -> None:
    """mlx-lm's layers on every linear of every layer."""
    model.freeze()
    config = {"rank": RANK, "scale": SCALE, "dropout": 0.0}
    linear_to_lora_layers(model, len(model.layers), config)
    mx.eval(model.parameters())


def peak(compute: Callable[[], Any]) -> int:
    """Bytes at the peak of a computation, what was there before taken off."""
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    found = compute()
    mx.eval(found)
    return mx.get_peak_memory() - before


def speed(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of passes over the same chats, in turns."""
    clock = time.process_time if options.cpu_time else time.perf_counter
    data = chats(options.examples, options.chats)
    steps = -(-options.examples // options.batch_size)
    sides = [our_pass(data, options, steps, clock), their_pass(data, options, steps, clock)]
    taken: list[list[float]] = [[], []]
    for number in range(options.passes):
        for side in (0, 1) if number % 2 else (1, 0):
            seconds = sides[side]()
            if number:
                taken[side].append(seconds)
    tokens = sum(map(len, data.train))
    pairs = zip(*taken, strict=True)
    return {
        "tokens": tokens,
        "ours_tps": tokens / statistics.median(taken[0]),
        "mlx_lm_tps": tokens / statistics.median(taken[1]),
        "ratio": statistics.median(other / mine for mine, other in pairs),
    }


def chats(count: int, kind: str) -> Dataset:
    """Of nano's own kinds; a multiple of the batch, as theirs drops the rest."""
    from nano_data.batches import MIX, conversation

    draw = random.Random(3)
    tokenizer = load_tokenizer(nano_folder())
    encoder = FinetuningEncoder(tokenizer, raw_system=kind != "official")
    examples = []
    while len(examples) < count:
        drawn = conversation(draw, draw.choice([kind for kind in MIX if kind != "tools"]), "train")
        messages: list[dict[str, str]] = []
        for turn in drawn.turns:
            messages.append({"role": "user", "content": turn.user})
            said = {"role": "assistant", "content": turn.answer, "reasoning": turn.think}
            messages.append(said)
        example = encoder.chat(messages, None, f"chat {len(examples)}")
        if kind == "even":
            example = example.cut(EVEN_TOKENS)
            if len(example) < EVEN_TOKENS or not example.spans:
                continue
        examples.append(example)
    return make_dataset(examples, [], max_tokens=2048, seed=0, valid_share=0.0)


def our_pass(
    data: Dataset, options: argparse.Namespace, steps: int, clock: Callable[[], float]
) -> Callable[[], float]:
    """A pass of ours; each goes on where the last ended."""
    chosen = TrainOptions(
        rank=RANK, alpha=RANK * SCALE, iters=10**6, batch_size=options.batch_size,
        eval_every=10**6, save_every=10**6,
    )  # fmt: skip
    model = load_model(nano_folder()).model
    prepare(model, chosen)
    folder = Path(tempfile.mkdtemp())
    trainer = Trainer(model, data, chosen, folder, Base("nano", "", 4), {}, Quiet())

    def go() -> float:
        begun = clock()
        for _ in range(steps):
            trainer._train_step()
        return clock() - begun

    return go


def their_pass(
    data: Dataset, options: argparse.Namespace, steps: int, clock: Callable[[], float]
) -> Callable[[], float]:
    """A pass of theirs, timed by their own reports: all but the steps is left out."""
    model = load_model(nano_folder()).model
    their_adapter(model)
    optimizer = optim.AdamW(learning_rate=1e-4)
    items = [(list(each.tokens), each.spans[0][0]) for each in data.train]
    arguments = TrainingArgs(
        batch_size=options.batch_size,
        iters=2 * steps,
        steps_per_report=steps,
        steps_per_save=10**6,
        adapter_file=str(Path(tempfile.mkdtemp()) / "adapters.safetensors"),
    )

    class Timed(TrainingCallback):
        at: list[float] = []

        def on_train_loss_report(self, train_info: dict[str, Any]) -> None:
            self.at.append(clock())

    def go() -> float:
        # The first of two passes compiles their step for every shape.
        watch = Timed()
        watch.at = []
        with contextlib.redirect_stdout(sys.stderr):
            train(model, optimizer, items, args=replace(arguments), training_callback=watch)
        return watch.at[1] - watch.at[0]

    return go


class Quiet(Watcher):
    """Keeps nothing."""

    def stepped(self, record: StepRecord, history: History) -> None:
        history.steps.clear()


if __name__ == "__main__":
    main()
