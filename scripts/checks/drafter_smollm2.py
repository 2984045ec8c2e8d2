#!/usr/bin/env python3
"""A head for a real 135M model, trained on its own chats on a CPU: what it guesses on new prompts.

SmolLM2-135M-Instruct and its chats as scripts/bench/smollm2.py makes them. The last topics are held
out. It has no tekken.json, so ids go to the trainer as they are, by the same code as train-drafter.
Killed, it goes on. All of it takes hours of one core: run it overnight, by nice -n 19.

    scripts/checks/drafter_smollm2.py --work DIR [--chats 192] [--epochs 3] [--report FILE] [--json]

At the end held-out prompts are answered greedily with a fixed number of guesses. It tells ids a
pass, whether the ids are those of plain decoding, the wall clock here, and a replay of the same
passes on --curve: rows of a pass to its cost, in passes of one row, and of a guess.
"""

import argparse
import json
import sys
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.decode.speculation.drafts import Drafts
from mlx_magistral.decode.speculation.gate import Costs
from mlx_magistral.decode.speculation.head_draft import HeadDraft
from mlx_magistral.decode.speculation.pass_costs import PassCosts
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.eagle.network import Head
from mlx_magistral.model.eagle.reading import load_head
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import load_model
from mlx_magistral.train.drafter.folder import write_head_folder
from mlx_magistral.train.drafter.fresh import fresh_head, head_config
from mlx_magistral.train.drafter.options import DrafterOptions
from mlx_magistral.train.drafter.said import Packs, Said
from mlx_magistral.train.drafter.states import TargetStates
from mlx_magistral.train.drafter.trainer import DrafterTrainer
from mlx_magistral.train.drafter.vocabulary import covered, draft_vocabulary
from mlx_magistral.train.history import History, StepRecord, ValidRecord
from mlx_magistral.train.watcher import Watcher

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from smollm2 import PROMPTS, fetch_gguf, write_chats, write_checkpoint  # noqa: E402

COLUMNS, GUESSES, ANSWER_TOKENS = 8192, 4, 96
_STOP = 2
# The M4 Pro's as reported (docs/performance.md), and a guess as its share of the weights.
CURVE = "1=1,2=1.05,3=1.2,4=1.4,8=1.65,guess=0.07"


class Lines(Watcher):
    """A line a validation, and every 20 steps."""

    def stepped(self, record: StepRecord, history: History) -> None:
        if record.step % 20 == 0:
            print(f"step {record.step}: loss {record.loss:.3f}, {record.seconds:.1f} s", flush=True)

    def validated(self, record: ValidRecord, history: History) -> None:
        print(f"step {record.step}: {record.ids_a_pass:.2f} ids a pass held out", flush=True)


def said_by(checkpoint: Path, chats: Sequence[Sequence[int]]) -> list[Said]:
    """Chats as prompt and reply: the reply begins after the last "assistant" line."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    marker = tokenizer.encode("<|im_start|>assistant\n", add_special_tokens=False).ids
    texts = []
    for ids in chats:
        starts = range(len(ids) - len(marker))
        at = next(n for n in starts if list(ids[n : n + len(marker)]) == marker)
        texts.append(Said(array("I", ids), at + len(marker)))
    return texts


def train(
    model: Transformer,
    config: ModelConfig,
    train_texts: list[Said],
    held_out: list[Said],
    work: Path,
    epochs: float,
) -> None:
    """Into ``work/head``; goes on where it was."""
    shape = head_config(config, COLUMNS)
    ids = draft_vocabulary(train_texts, COLUMNS, config.vocab_size)
    print(f"{covered(held_out, ids):.1%} of held-out ids are among the {COLUMNS:,}.", flush=True)
    targets = mx.array(ids, dtype=mx.uint32)
    packs = Packs(train_texts, 512, 0)
    options = DrafterOptions(
        steps=max(1, round(epochs * packs.packs_an_epoch)),
        pack_tokens=512,
        draft_vocab=COLUMNS,
        learning_rate=1e-3,
        eval_every=40,
        save_every=10,
    )
    folder = work / "states"
    folder.mkdir(exist_ok=True)
    states = TargetStates(
        model, shape.aux_layers, chunk_tokens=512, folder=folder, disk_bytes=4_000_000_000
    )
    sample, _ = states.of(packs.step(0))

    def on_best(head: Head, history: History) -> None:
        write_head_folder(work / "head", head, shape, targets, "SmolLM2-135M-Instruct", "")

    trainer = DrafterTrainer(
        fresh_head(shape, model, targets, sample, 0),
        model,
        targets,
        states,
        train_texts,
        held_out,
        options,
        work / "training",
        options.to_json(),
        on_best,
        Lines(),
    )
    if not trainer.resume():
        trainer.run()


def answered(
    model: Transformer, prompt: list[int], draft: HeadDraft | None
) -> tuple[list[int], list[int], float]:
    """Greedy ids, the rows of each pass, and seconds of decode."""
    cache, rows = make_cache(model), [0]
    drafts = None
    if draft is not None:
        drafts = Drafts(prompt, PassCosts("none", None), length=GUESSES, draft_model=draft)
        drafts.go_on(0)
    logits = prefill(model, prompt, cache, speculation=drafts)
    assert logits is not None
    mx.eval(logits)
    started = time.perf_counter()
    sampler = Sampler(SamplingOptions(temperature=0), prompt, logits.shape[-1])
    ids = list(
        decode(
            model,
            logits,
            cache,
            sampler,
            max_tokens=ANSWER_TOKENS,
            stop_tokens=frozenset({_STOP}),
            speculation=drafts,
        )
    )
    if drafts is not None:
        rows = [drafts.passes, drafts.drafted, drafts.kept]
    return ids, rows, time.perf_counter() - started


def measure(
    model: Transformer, config: ModelConfig, texts: list[Said], work: Path, curve: dict[str, float]
) -> dict[str, Any]:
    """Held-out prompts, plain and drafted in turn."""
    head = load_head(work / "head", config, dtype=model.model.norm.weight.dtype)
    draft = HeadDraft(head, model)
    costs = Costs({int(rows): cost for rows, cost in curve.items() if rows != "guess"})
    ids = passes = same = drafted = 0
    plain_s = drafted_s = 0.0
    for said in texts:
        prompt = list(said.tokens[: said.prompt_tokens])
        plain, _, seconds = answered(model, prompt, None)
        guessed, counts, drafted_seconds = answered(model, prompt, draft.for_reply())
        plain_s, drafted_s = plain_s + seconds, drafted_s + drafted_seconds
        ids, passes, drafted = ids + len(guessed), passes + counts[0], drafted + counts[1]
        same += plain == guessed
    replayed = passes * costs(1) + drafted * curve["guess"]
    replayed += drafted / GUESSES * (costs(GUESSES + 1) - costs(1))
    return {
        "prompts": len(texts),
        "equal_to_plain": same,
        "ids_a_pass": ids / passes,
        "wall_clock_here_plain_over_drafted": plain_s / drafted_s,
        "replayed_on_the_curve": ids * costs(1) / replayed,
    }


def main() -> None:
    """Fetch, chat, train, measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="a folder for everything")
    parser.add_argument("--chats", type=int, default=len(PROMPTS))
    parser.add_argument("--held-out", type=int, default=12)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--curve", default=CURVE)
    parser.add_argument("--report", type=Path, help="write the result here as JSON")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    checkpoint, path = work / "smollm2", work / f"chats-{arguments.chats}.json"
    if not checkpoint.exists():
        write_checkpoint(fetch_gguf(work), checkpoint, is_rotated=False)
    if not path.exists():
        write_chats(checkpoint, path, arguments.chats)
    texts = said_by(checkpoint, json.loads(path.read_text()))
    model, config = load_model(checkpoint)
    learned, held_out = texts[: -arguments.held_out], texts[-arguments.held_out :]
    train(model, config, learned, held_out, work, arguments.epochs)
    curve = dict(pair.split("=") for pair in arguments.curve.split(","))
    result = measure(
        model, config, held_out, work, {rows: float(cost) for rows, cost in curve.items()}
    )
    result |= {"chats": len(learned), "epochs": arguments.epochs, "curve": arguments.curve}
    if arguments.report:
        arguments.report.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result) if arguments.json else result)


if __name__ == "__main__":
    main()
