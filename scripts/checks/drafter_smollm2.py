#!/usr/bin/env python3
"""A head for a real 135M model, trained on its own chats on a CPU: what it guesses on new prompts.

SmolLM2-135M-Instruct, as scripts/bench/smollm2.py has it, in float32, which a CPU computes many
times faster. It answers prompts of that file and of smollm2_prompts.py at temperature 0; the last
four topics of the first are held out. It has no tekken.json, so ids go to the trainer as they are,
by the same code as train-drafter. Killed, it goes on. Use OpenBLAS (docs/training.md): all of it is
then three hours of one core, and a night without.

    scripts/checks/drafter_smollm2.py --work DIR [--chats 6744] [--epochs 1] [--go-on-from HEAD]
                                      [--rate 1e-3] [--guesses 3 4] [--tokens 128]
                                      [--report FILE] [--json]

With --go-on-from a head of fewer chats (--chats 4016) learns on, from all of them, at a lower
--rate.

At the end held-out prompts are answered at temperature 0 with a fixed number of guesses, by the
head alone and with look-ups beside it; with --form "Describe {} to a friend." it is questions of
that form, which none had, on topics that were learned from. It tells ids a pass, whether the ids
are those of plain decoding, the wall clock here, and a replay of the same passes on the curves of
curves.py.
"""

# mypy: allow-untyped-calls

import argparse
import json
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.decode.speculation.head_draft import HeadDraft
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.eagle.network import Head
from mlx_magistral.model.eagle.reading import LoadedHead, load_head
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

from guesses_of_head import measure  # noqa: E402

from smollm2 import CHAT, PROMPTS, fetch_gguf, write_checkpoint, write_greedy_chats  # noqa: E402
from smollm2_prompts import MORE_PROMPTS, MORE_TOPICS  # noqa: E402

COLUMNS, UNROLL, PACK_TOKENS, ANSWER_TOKENS, HELD_OUT = 12288, 3, 352, 128, 24


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


def questions(checkpoint: Path, form: str, count: int) -> list[list[int]]:
    """Prompts of a form, on topics from all over those that were learned from."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    topics = MORE_TOPICS[:: len(MORE_TOPICS) // count][:count]
    texts = [CHAT.format(form.format(topic)) for topic in topics]
    return [list(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]


def take_over(head: Head, targets: mx.array, earlier: LoadedHead) -> None:
    """What an earlier head has learned; of its columns those that this one has too."""
    assert earlier.targets is not None
    ids: Any = targets.tolist()
    known: Any = earlier.targets.tolist()
    columns = {token: place for place, token in enumerate(known)}
    both = [(at, columns[token]) for at, token in enumerate(ids) if token in columns]
    places, theirs = (mx.array(each) for each in zip(*both, strict=True))
    rows = head.lm_head.weight
    rows[places] = earlier.network.lm_head.weight[theirs]
    head.update(earlier.network.parameters())
    head.lm_head.weight = rows
    mx.eval(head.parameters())


def train(
    model: Transformer,
    config: ModelConfig,
    train_texts: list[Said],
    held_out: list[Said],
    work: Path,
    *,
    epochs: float,
    rate: float,
    earlier: Path | None,
) -> None:
    """Into ``work/head``; goes on where it was, or from an ``earlier`` head."""
    shape = head_config(config, COLUMNS)
    ids = draft_vocabulary(train_texts, COLUMNS, config.vocab_size)
    print(f"{covered(held_out, ids):.1%} of held-out ids are among the {COLUMNS:,}.", flush=True)
    targets = mx.array(ids, dtype=mx.uint32)
    packs = Packs(train_texts, PACK_TOKENS, 0)
    options = DrafterOptions(
        steps=max(1, round(epochs * packs.packs_an_epoch)),
        pack_tokens=PACK_TOKENS,
        draft_vocab=COLUMNS,
        unroll=UNROLL,
        learning_rate=rate,
        eval_every=90,
        save_every=10,
    )
    folder = work / "states"
    folder.mkdir(exist_ok=True)
    states = TargetStates(
        model, shape.aux_layers, chunk_tokens=PACK_TOKENS, folder=folder, disk_bytes=7_000_000_000
    )
    sample, _ = states.of(packs.step(0))

    def on_best(head: Head, history: History) -> None:
        write_head_folder(work / "head", head, shape, targets, "SmolLM2-135M-Instruct", "")

    head = fresh_head(shape, model, targets, sample, 0)
    if earlier is not None:
        take_over(head, targets, load_head(earlier, config, dtype=mx.float32))
    trainer = DrafterTrainer(
        head,
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


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="a folder for everything")
    parser.add_argument("--chats", type=int, default=6744, help="prompts in all")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--rate", type=float, default=1e-3, help="of AdamW; Muon's goes by it")
    parser.add_argument("--go-on-from", type=Path, help="a head of fewer chats")
    parser.add_argument("--guesses", type=int, nargs="+", default=[3, 4])
    parser.add_argument(
        "--prompts", type=int, default=HELD_OUT, help="held-out ones to answer, of all topics"
    )
    parser.add_argument(
        "--tokens", type=int, default=ANSWER_TOKENS, help="of such a reply; what is learned has 128"
    )
    parser.add_argument("--form", help="ask this of learned topics, {} for each, instead")
    parser.add_argument("--measure-only", action="store_true", help="a head that is there")
    parser.add_argument("--report", type=Path, help="write the result here as JSON")
    parser.add_argument("--json", action="store_true")
    return parser


def main() -> None:
    """Fetch, chat, train, measure."""
    arguments = _options().parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    checkpoint, path = work / "smollm2", work / f"greedy-{arguments.chats}.json"
    if not checkpoint.exists():
        write_checkpoint(fetch_gguf(work), checkpoint, is_rotated=False)
    if not path.exists():
        asked = [*PROMPTS, *MORE_PROMPTS][: arguments.chats]
        write_greedy_chats(checkpoint, path, asked, ANSWER_TOKENS)
    texts = said_by(checkpoint, json.loads(path.read_text()))
    model, config = load_model(checkpoint)
    model.set_dtype(mx.float32)
    first = len(PROMPTS) - HELD_OUT
    held_out = texts[first : len(PROMPTS)]
    if not arguments.measure_only:
        learned = texts[:first] + texts[len(PROMPTS) :]
        train(
            model,
            config,
            learned,
            held_out,
            work,
            epochs=arguments.epochs,
            rate=arguments.rate,
            earlier=arguments.go_on_from,
        )
    head = HeadDraft(load_head(work / "head", config, dtype=mx.float32), model)
    some = held_out[:: max(1, HELD_OUT // arguments.prompts)][: arguments.prompts]
    prompts = [list(said.tokens[: said.prompt_tokens]) for said in some]
    if arguments.form:
        prompts = questions(checkpoint, arguments.form, arguments.prompts)
    result = {
        "chats": len(texts) - HELD_OUT,
        "ids_learned_from": sum(len(s) - s.prompt_tokens for s in texts)
        - sum(len(s) - s.prompt_tokens for s in held_out),
        "epochs": arguments.epochs,
        "went_on_from": arguments.go_on_from and arguments.go_on_from.name,
        "asked": arguments.form or "topics held out",
        "measured": measure(model, head, prompts, arguments.guesses, arguments.tokens),
    }
    if arguments.report:
        arguments.report.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result) if arguments.json else result)


if __name__ == "__main__":
    main()
