#!/usr/bin/env python3
"""A model over several processes says what it says in one: logits within 1e-4, ids equal.

nano in 32 bits on the CPU, or a random model with 8 key-value heads. A tenth of the prompts are
replies of their own, the others come from the batch that a server runs, eight at a time, with
guesses and kept prefixes.

    scripts/checks/equal_ranks.py [--ranks 2] [--split heads] [--prompts 200] [--random]
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

_MOST_DIFFERENCE = 1e-4
_TOKENS = 40
_WIDTH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--split", default="heads")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--random", action="store_true", help="8 key-value heads, for 4 ranks")
    parser.add_argument("--folder", help="a model with its tokenizer in place of nano")
    options = parser.parse_args()
    from mlx_magistral.cluster.call import VARIABLE

    if VARIABLE in os.environ:
        sys.exit(compare(Path(options.folder), options.split, options.prompts))
    from mlx_magistral.cluster.hosts import local_hosts
    from mlx_magistral.cluster.launch import run

    with tempfile.TemporaryDirectory() as scratch:
        make = eight_heads if options.random else wide_nano
        folder = options.folder or str(make(Path(scratch) / "model"))
        program = [__file__, *sys.argv[1:], "--folder", folder]
        sys.exit(run(local_hosts(options.ranks), program))


def wide_nano(folder: Path) -> Path:
    """nano with its weights in 32 bits."""
    import mlx.core as mx

    from mlx_magistral.hub.resolve import nano_folder

    shutil.copytree(nano_folder(), folder)
    [file] = folder.glob("*.safetensors")
    weights: Any = mx.load(str(file))
    mx.save_safetensors(str(file), {name: w.astype(mx.float32) for name, w in weights.items()})
    return folder


def eight_heads(folder: Path) -> Path:
    """Random weights in 32 bits, with nano's tokenizer."""
    from dataclasses import replace

    from mlx_magistral.hub.resolve import nano_folder
    from mlx_magistral.model.checkpoint import open_checkpoint
    from tests.model.builders import write_native

    small = open_checkpoint(nano_folder()).config
    write_native(folder, replace(small, n_heads=16, n_kv_heads=8, head_dim=32))
    for name in ("tekken.json", "SYSTEM_PROMPT.txt"):
        shutil.copy(nano_folder() / name, folder / name)
    return folder


def compare(folder: Path, split: str, count: int) -> int:
    """As rank 0: both models in this process, one of them over all ranks."""
    import mlx.core as mx

    from mlx_magistral import Magistral
    from mlx_magistral.cluster.call import Call
    from mlx_magistral.cluster.forming import form
    from mlx_magistral.cluster.reader import LedReader
    from mlx_magistral.cluster.share import Split

    call = Call.take()
    assert call is not None
    led = Magistral.load(
        folder, reader=LedReader(form(call), Split(split)), reuse_prefixes=True, context_tokens=1024
    )
    whole = Magistral.load(folder, context_tokens=1024)
    tokens = mx.array([whole.tokenizer.encode_chat("What is 37 + 48?")])
    difference = float(mx.abs(led.model(tokens) - whole.model(tokens)).max())
    print(f"largest difference of logits: {difference:.1e}", flush=True)
    asked = prompts(count)
    alone, together = asked[: count // 10], asked[count // 10 :]
    wrong = 0
    for index, text in enumerate(alone):
        keywords = {"seed": index, "temperature": 0.0 if index % 4 else 0.7}
        wrong += one(led, text, keywords) != one(whole, text, keywords)
    print(f"{len(alone) - wrong} of {len(alone)} replies alone are equal", flush=True)
    unequal = 0
    for start in range(0, len(together), 4 * _WIDTH):
        part = together[start : start + 4 * _WIDTH]
        expected = [one(whole, text, {"temperature": 0.0}) for text in part]
        unequal += sum(a != b for a, b in zip(many(led, part), expected, strict=True))
    print(f"{len(together) - unequal} of {len(together)} replies of a batch are equal", flush=True)
    return int(wrong + unequal > 0 or difference > _MOST_DIFFERENCE)


def prompts(count: int) -> list[str]:
    """Problems that nano knows."""
    draw = random.Random(0)
    return [f"What is {draw.randint(1, 999)} + {draw.randint(1, 999)}?" for _ in range(count)]


def one(model: Any, text: str, keywords: dict[str, Any]) -> str:
    """The whole reply; its ids show in its text."""
    reply = model.generate(text, max_tokens=_TOKENS, **keywords).to_dict()
    return json.dumps([reply[key] for key in ("reasoning", "content", "finish_reason")])


def many(model: Any, texts: list[str]) -> list[str]:
    """The same from the batch."""
    from mlx_magistral.batching.engine import BatchEngine, BatchOptions
    from mlx_magistral.engine.reply import ReplyCollector
    from mlx_magistral.errors import MagistralError
    from mlx_magistral.events import Event, Finished

    engine = BatchEngine(model, BatchOptions(_WIDTH, len(texts)))
    collectors = [ReplyCollector(model.name) for _ in texts]
    over = [threading.Event() for _ in texts]

    def callback(index: int) -> Any:
        def on_event(event: Event | MagistralError) -> None:
            if isinstance(event, MagistralError):
                raise event
            collectors[index].feed(event)
            if isinstance(event, Finished):
                over[index].set()

        return on_event

    for index, text in enumerate(texts):
        stream = model.stream(text, max_tokens=_TOKENS, temperature=0.0)
        engine.submit(stream.progress, callback(index))
    for each in over:
        assert each.wait(600)
    engine.close(1.0)
    replies = [collector.reply().to_dict() for collector in collectors]
    return [
        json.dumps([reply[key] for key in ("reasoning", "content", "finish_reason")])
        for reply in replies
    ]


if __name__ == "__main__":
    main()
