#!/usr/bin/env python3
"""A head for nano by train-drafter's own code, and what it guesses on problems that it never saw.

Nano answers training problems itself, a head learns to guess that, and held-out problems are then
answered with it, greedy and drawn. Fails (exit 1) where a reply differs from plain decoding by one
token, or where greedy replies take fewer than --least ids a pass. Killed, it goes on.

    scripts/checks/nano_drafter.py --work DIR [--prompts 400] [--tokens 1000000] [--problems 500]
                                   [--guesses 5] [--least 3.0] [--measure-only] [--json]
"""

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any

from mlx_magistral import Magistral
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
            pack_tokens=512, draft_vocab=1024, learning_rate=2.5e-3, eval_every=100, save_every=25
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


def measure(head: Path, problems: int, guesses: int) -> dict[str, dict[str, float]]:
    """Of each way to draw: how many replies are the plain ones, ids a pass, acceptance."""
    plain, drafted = Magistral.load("nano"), Magistral.load("nano", draft=head)
    found = {}
    for name, draw in DRAWS.items():
        same = ids = 0
        passes = kept = guessed = 0.0
        for question in questions(problems, "test"):
            wanted = plain.generate(question, speculate="off", **draw)
            reply = drafted.generate(question, speculate=guesses, **draw)
            same += (reply.reasoning, reply.content) == (wanted.reasoning, wanted.content)
            tokens = reply.usage.completion_tokens
            ids, passes = ids + tokens, passes + tokens / reply.timings.tokens_per_pass
            guessed += reply.timings.guesses
            kept += reply.timings.guesses * (reply.timings.acceptance or 0.0)
        found[name] = {
            "problems": problems,
            "equal_to_plain": same,
            "ids_a_pass": ids / passes,
            "acceptance": kept / max(guessed, 1.0),
        }
    return found


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
    found = measure(args.work / "head", args.problems, args.guesses)
    print(json.dumps(found) if args.json else found)
    is_equal = all(each["equal_to_plain"] == each["problems"] for each in found.values())
    sys.exit(not is_equal or found["greedy"]["ids_a_pass"] < args.least)


if __name__ == "__main__":
    main()
