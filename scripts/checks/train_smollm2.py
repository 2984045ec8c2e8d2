#!/usr/bin/env python3
"""A real 135M model is trained for 100 steps: its loss falls, and mlx-lm gives the same logits.

SmolLM2-135M as scripts/bench/smollm2.py fetches it, with LoRA on all linears in bf16. It has no
tekken.json, so ids come from its own tokenizer and go to the trainer as they are. The texts are 192
short questions of one kind.

    scripts/checks/train_smollm2.py --work DIR [--steps 100] [--json]

Exits with 1 where the mean loss of the last ten steps is not below that of the first ten, or a
logit differs by more than 1e-4 in fp32.
"""

import argparse
import json
import sys
from pathlib import Path

import mlx.core as mx

from mlx_magistral.model.adapters.identity import base_identity
from mlx_magistral.model.adapters.placing import place_adapter
from mlx_magistral.model.adapters.reading import read_adapter
from mlx_magistral.model.checkpoint import open_checkpoint
from mlx_magistral.model.weights import load_model
from mlx_magistral.train.adapter_folder import Base
from mlx_magistral.train.dataset import Dataset, make_dataset
from mlx_magistral.train.example import Example, packed
from mlx_magistral.train.history import History, StepRecord
from mlx_magistral.train.method import prepare
from mlx_magistral.train.options import TrainOptions
from mlx_magistral.train.trainer import Trainer
from mlx_magistral.train.watcher import Watcher

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from smollm2 import PROMPTS, fetch_gguf, write_checkpoint  # noqa: E402

FIRST_AND_LAST = 10
LARGEST_DIFFERENCE = 1e-4


def main() -> None:
    """Fetch, train, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="a folder for everything")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.work / "smollm2"
    if not folder.exists():
        arguments.work.mkdir(parents=True, exist_ok=True)
        write_checkpoint(fetch_gguf(arguments.work), folder, is_rotated=False)
    adapter = arguments.work / "adapter"
    first, last = train(folder, adapter, arguments.steps)
    difference = compare(folder, adapter)
    result = {"first_loss": first, "last_loss": last, "logit_difference": difference}
    print(json.dumps(result) if arguments.json else result)
    sys.exit(0 if last < first and difference <= LARGEST_DIFFERENCE else 1)


def train(folder: Path, adapter: Path, steps: int) -> tuple[float, float]:
    """Mean losses of the first and of the last ten steps; goes on where it was killed."""
    options = TrainOptions(
        rank=8, alpha=16.0, iters=steps, batch_size=2, learning_rate=5e-4, save_every=10,
        eval_every=steps,
    )  # fmt: skip
    checkpoint = open_checkpoint(folder)
    model = load_model(folder).model
    prepare(model, options)
    base = Base("SmolLM2-135M", base_identity(checkpoint), checkpoint.config.n_layers)
    trainer = Trainer(model, texts(folder), options, adapter, base, options.to_json(), Shown())
    if not trainer.resume():
        trainer.run()
    losses = [each.loss for each in trainer.history.steps]
    ends = losses[:FIRST_AND_LAST], losses[-FIRST_AND_LAST:]
    first, last = (sum(each) / len(each) for each in ends)
    return first, last


def texts(folder: Path) -> Dataset:
    """The prompts as ids, learned whole."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    examples = []
    for number, prompt in enumerate(PROMPTS):
        ids = [1, *tokenizer.encode(prompt).ids, 2]
        examples.append(Example(packed(ids), ((1, len(ids)),), f"prompt {number}"))
    return make_dataset(examples, [], max_tokens=64, seed=0, valid_share=0.05)


def compare(folder: Path, adapter: Path) -> float:
    """The largest difference of our logits and mlx-lm's with the adapter, in fp32."""
    from mlx_lm.tuner.utils import load_adapters
    from mlx_lm.utils import load_model as load_with_mlx_lm

    ids = mx.array([list(range(500, 520))])
    ours = load_model(folder).model
    ours.set_dtype(mx.float32)
    place_adapter(ours, read_adapter(adapter))
    theirs = load_with_mlx_lm(folder)[0]
    theirs.set_dtype(mx.float32)
    load_adapters(theirs, str(adapter))
    theirs.eval()
    difference = mx.abs(ours(ids) - theirs(ids)).max().item()
    assert isinstance(difference, float)
    return difference


class Shown(Watcher):
    """A line every ten steps."""

    def stepped(self, record: StepRecord, history: History) -> None:
        if record.step % 10 == 0:
            print(f"step {record.step}: loss {record.loss:.3f}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
