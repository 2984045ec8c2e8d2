#!/usr/bin/env python3
"""A head for nano by train-drafter's own code, and what it guesses on problems that it never saw.

Nano answers training problems itself, a head learns to guess that, and held-out problems are then
answered with it, greedy and drawn. Fails (exit 1) where a reply differs from plain decoding by one
token, or where greedy replies take fewer than --least ids a pass. Killed, it goes on. On a Linux
CPU it trains several times faster with OpenBLAS (docs/training.md).

    scripts/checks/nano_drafter.py --work DIR [--prompts 400] [--tokens 1000000] [--problems 500]
                                   [--guesses 5] [--least 3.0] [--measure-only] [--json]
"""

import argparse
import hashlib
import json
import random
import sys
from pathlib import Path
from typing import Any

from mlx_magistral import Magistral, Reply
from mlx_magistral.cli.drafter_display import DrafterDisplay
from mlx_magistral.errors import TrainingError
from mlx_magistral.train.drafter.job import DrafterJob, DrafterRequest
from mlx_magistral.train.drafter.options import DrafterOptions
from mlx_magistral.train.drafter.replies import ReplyOptions
from mlx_magistral.train.reading import Record

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nano"))

from eval_problems import KINDS  # noqa: E402
from nano_data import tasks  # noqa: E402
from nano_data.evaluation import VIEWS  # noqa: E402

LANGUAGES = ("en", "en", "en", "fr", "es")
TOGETHER = 16
DRAWS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0},
    "drawn": {"temperature": 0.7, "seed": 3},
}


def questions(count: int, split: str) -> list[str]:
    """Problems of every kind in turn."""
    rng, found = random.Random(split), []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        language = "en" if kind in VIEWS else LANGUAGES[rng.randrange(len(LANGUAGES))]
        if kind in VIEWS:
            found.append(VIEWS[kind](rng, split, language).turns[-1].user)
        else:
            found.append(tasks.draw(kind, rng, split, language).question)
    return found


def train(work: Path, prompts: int, tokens: int) -> None:
    """Into ``work/head``."""
    asked = questions(prompts, "train")
    request = DrafterRequest(
        "nano",
        [Record({"prompt": each}, f"problem {n}") for n, each in enumerate(asked, 1)],
        work / "head",
        DrafterOptions(
            pack_tokens=512, draft_vocab=128, learning_rate=2.5e-3, eval_every=100, save_every=50
        ),
        ReplyOptions(),
        tokens=tokens,
    )
    try:
        with DrafterDisplay(as_json=False, is_quiet=False, is_verbose=False) as display:
            display.ended(DrafterJob(request).run(display))
    except TrainingError as error:
        if "has ended already" not in str(error):
            raise


class Kept:
    """Replies that were made, in a file that grows a line at a time: killed, it goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        content = path.read_text() if path.is_file() else ""
        whole = content[: content.rfind("\n") + 1]
        path.write_text(whole)  # a line that a kill has cut off is none
        self._found: dict[str, dict[str, Any]] = {
            line["question"]: line for line in map(json.loads, whole.splitlines())
        }

    def __getitem__(self, question: str) -> dict[str, Any]:
        return self._found[question]

    def _add(self, question: str, reply: Reply) -> None:
        timings = reply.timings
        line = {
            "question": question,
            "said": [reply.reasoning, reply.content],
            "ids": reply.usage.completion_tokens,
            "passes": reply.usage.completion_tokens / timings.tokens_per_pass,
            "guesses": timings.guesses,
            "kept": timings.guesses * (timings.acceptance or 0.0),
        }
        self._found[question] = line
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def fill(
        self, model: Magistral, questions: list[str], draw: dict[str, Any], guesses: int = 0
    ) -> None:
        """Make the replies that are not there: with guesses each alone, plain ones together."""
        left = [each for each in questions if each not in self._found]
        if guesses:
            for question in left:
                self._add(question, model.generate(question, speculate=guesses, **draw))
            return
        for start in range(0, len(left), TOGETHER):
            some = left[start : start + TOGETHER]
            replies = model.generate_batch(some, max_batch=TOGETHER, **draw)
            for question, reply in zip(some, replies, strict=True):
                self._add(question, reply)


def measure(work: Path, problems: int, guesses: int) -> dict[str, dict[str, float]]:
    """Of each way to draw: how many replies are the plain ones, ids a pass, acceptance.

    Plain replies are made together, by ``speculate="off"``; one that differs from the drafted
    one is made again alone, and counts as it is then.
    """
    head = work / "head"
    # Apart: where a plain reply's prompt is gone on from, a head has no rows of it.
    plainly, model = Magistral.load("nano"), Magistral.load("nano", draft=head)
    version = hashlib.sha256((head / "model.safetensors").read_bytes()).hexdigest()[:12]
    asked = list(dict.fromkeys(questions(2 * problems, "test")))[:problems]
    found = {}
    for name, draw in DRAWS.items():
        plain = Kept(work / f"plain-{name}.jsonl")
        drafted = Kept(work / f"drafted-{name}-{version}-{guesses}.jsonl")
        plain.fill(plainly, asked, draw)
        drafted.fill(model, asked, draw, guesses)
        same = sum(
            drafted[each]["said"] == plain[each]["said"] or _is_plain(drafted[each], plainly, draw)
            for each in asked
        )
        ids, passes, guessed, kept = (
            sum(drafted[each][key] for each in asked)
            for key in ("ids", "passes", "guesses", "kept")
        )
        found[name] = {
            "problems": len(asked),
            "equal_to_plain": same,
            "ids_a_pass": ids / passes,
            "acceptance": kept / max(guessed, 1.0),
        }
        print(name, found[name], file=sys.stderr, flush=True)
    return found


def _is_plain(drafted: dict[str, Any], plainly: Magistral, draw: dict[str, Any]) -> bool:
    alone = plainly.generate(drafted["question"], speculate="off", **draw)
    return bool(drafted["said"] == [alone.reasoning, alone.content])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--prompts", type=int, default=400)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--guesses", type=int, default=5)
    parser.add_argument("--least", type=float, default=3.0)
    parser.add_argument("--measure-only", action="store_true", help="a head that is there")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not args.measure_only:
        train(args.work, args.prompts, args.tokens)
    found = measure(args.work, args.problems, args.guesses)
    print(json.dumps(found) if args.json else found)
    is_equal = all(each["equal_to_plain"] == each["problems"] for each in found.values())
    sys.exit(not is_equal or found["greedy"]["ids_a_pass"] < args.least)


if __name__ == "__main__":
    main()
