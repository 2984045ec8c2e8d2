#!/usr/bin/env python3
"""nano learns a task that it fails, in minutes of a CPU, and keeps what it knew.

The task is doubling. nano adds well and does not know "twice": asked "What is twice 348?" it says
that this is no sum. There are 2,000 examples and 750 of nano's own tasks, each seen once. Held out
are numbers that no example has; these and all problems of `eval nano` are asked before and after,
greedily, and `eval compare` pairs the latter. With --bits 4 the base is quantized first: QLoRA.

    scripts/checks/nano_learns.py --work DIR [--bits 4] [--json]

What is there in DIR already is not made again. Exits with 1 where less than 90 % is right after,
5 % or more before, old tasks lose more than 2 points, or training takes over 10 minutes of
processor time.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nano"))

from nano_data import scratch  # noqa: E402
from nano_data.batches import conversation  # noqa: E402
from nano_data.chat import Conversation  # noqa: E402
from nano_data.problem import split_of  # noqa: E402

NEW_EXAMPLES, LARGEST = 2000, 999
# Of nano's own tasks: most of what is nearest, sums and differences, and some of all the rest.
OLD = {
    "addition": 260,
    "subtraction": 240,
    "chain": 40,
    "story": 40,
    "large": 20,
    "comparison": 30,
    "largest": 20,
    "product_by_digit": 30,
    "product_2x2": 20,
    "counting": 30,
    "sorting": 20,
}
QUESTIONS = (
    "What is twice {n}?",
    "Twice {n}?",
    "How much is twice {n}?",
    "What do you get when you take {n} twice?",
)
TRAINING = (
    *("--epochs", "1", "--batch-size", "16", "--grad-accumulation-steps", "2"),
    *("--learning-rate", "5e-4", "--rank", "4", "--alpha", "8", "--eval-every", "40"),
    *("--valid-share", "0.02", "--save-every", "20", "--seed", "1"),
)
LIMIT_S, WANTED, MOST_BEFORE, MOST_LOST = 600.0, 0.90, 0.05, 0.02


def main() -> None:
    """Data, base, both evaluations before, the training, both after."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="a folder for everything")
    parser.add_argument("--bits", type=int, choices=(4, 8, 16), default=16)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    work, name = arguments.work, f"{arguments.bits}bit"
    work.mkdir(parents=True, exist_ok=True)
    write_data(work)
    base = "nano"
    if arguments.bits < 16:
        base = str(work / f"nano-{name}")
        if not Path(base).exists():
            run("convert", "nano", base, "--bits", arguments.bits)
    before = evaluate(work, base, f"{name}-before")
    adapter = work / f"adapter-{name}"
    seconds = train(work, base, adapter)
    after = evaluate(work, base, f"{name}-after", adapter)
    run("eval", "compare", work / f"eval-{name}-before-old", work / f"eval-{name}-after-old")
    report(arguments.bits, before, after, seconds, as_json=arguments.json)


def write_data(work: Path) -> None:
    """train.jsonl, in no order, and twice.jsonl, the problems that are held out."""
    draw, asked = random.Random(7), dict[str, list[dict[str, str]]]()
    while len(asked) < NEW_EXAMPLES:
        number, question = draw.randint(1, LARGEST), draw.choice(QUESTIONS)
        if not is_held_out(number):
            asked[question.format(n=number)] = twice(number, question)
    chats: list[list[dict[str, Any]]] = list(asked.values())
    for kind, count in OLD.items():
        chats += [old_chat(short_conversation(draw, kind)) for _ in range(count)]
    draw.shuffle(chats)
    write_lines(work / "train.jsonl", ({"messages": each} for each in chats))
    held_out = filter(is_held_out, range(1, LARGEST + 1))
    problems = (
        {"problem": draw.choice(QUESTIONS).format(n=number), "answer": str(2 * number)}
        for number in held_out
    )
    write_lines(work / "twice.jsonl", problems)


def is_held_out(number: int) -> bool:
    """One number of ten is in no example."""
    return split_of(f"twice:{number}") != "train"


def twice(number: int, question: str) -> list[dict[str, str]]:
    """A chat: the number is added to itself, as nano adds."""
    work = scratch.addition(number, number)
    return [
        {"role": "user", "content": question.format(n=number)},
        {
            "role": "assistant",
            "reasoning": work.text,
            "content": f"The result is $\\boxed{{{work.value}}}$.",
        },
    ]


def short_conversation(draw: random.Random, kind: str) -> Conversation:
    """The shorter of two: small numbers and zeros are rare, and forgotten first."""
    drawn = [conversation(draw, kind, "train") for _ in range(2)]
    return min(drawn, key=lambda each: sum(len(turn.think) for turn in each.turns))


def old_chat(drawn: Conversation) -> list[dict[str, Any]]:
    """One of nano's own conversations; answers without their thinking are read and not learned."""
    messages: list[dict[str, Any]] = []
    if drawn.system is not None:
        messages.append({"role": "system", "content": drawn.system})
    for turn in drawn.turns[-2:]:
        messages.append({"role": "user", "content": turn.user})
        said: dict[str, Any] = {"role": "assistant", "content": turn.answer}
        said |= {"reasoning": turn.think} if turn.shows_think else {"weight": 0}
        messages.append(said)
    return messages


def train(work: Path, base: str, adapter: Path) -> float:
    """Processor seconds of the training, which goes on where it was killed."""
    clock = work / f"{adapter.name}.seconds"
    if not clock.exists():
        begun = children_seconds()
        run("train", base, work / "train.jsonl", "-o", adapter, *TRAINING)
        clock.write_text(str(children_seconds() - begun))
    return float(clock.read_text())


def evaluate(work: Path, base: str, name: str, adapter: Path | None = None) -> dict[str, Any]:
    """The share of right answers, greedy, to the held-out problems and to nano's own."""
    found = {}
    flags = () if adapter is None else ("--adapter", adapter)
    for task, source in (("new", work / "twice.jsonl"), ("old", "nano")):
        folder = work / f"eval-{name}-{task}"
        greedy = ("-n", 1, "--temperature", 0, "--max-tokens", 600, "--prompt", "{problem}", "-y")
        run("eval", "run", source, "-m", base, *flags, *greedy, "-o", folder, "--on-loop", "stop")
        samples = [json.loads(line) for line in (folder / "samples.jsonl").open()]
        found[task] = sum(each["verdict"] == "right" for each in samples) / len(samples)
    return found


def report(
    bits: int, before: dict[str, Any], after: dict[str, Any], seconds: float, *, as_json: bool
) -> None:
    """A table or an object, and exit code 1 where a bound is missed."""
    holds = {
        "new before": before["new"] < MOST_BEFORE,
        "new after": after["new"] > WANTED,
        "old": after["old"] >= before["old"] - MOST_LOST,
        "processor time": seconds <= LIMIT_S,
    }
    result = {
        "bits": bits,
        "before": before,
        "after": after,
        "processor_seconds": seconds,
        "holds": holds,
    }
    if as_json:
        print(json.dumps(result))
    else:
        print(f"nano at {bits} bits, trained for {seconds:.0f} s of processor time")
        print(f"  twice, held out     {before['new']:7.1%} -> {after['new']:7.1%}")
        print(f"  nano's own tasks    {before['old']:7.1%} -> {after['old']:7.1%}")
    for name, held in holds.items():
        if not held:
            print(f"missed: {name}", file=sys.stderr)
    sys.exit(0 if all(holds.values()) else 1)


def run(*arguments: object) -> None:
    """Run one of our commands; its errors are ours."""
    command = [sys.executable, "-m", "mlx_magistral", *map(str, arguments)]
    print("$ mlx-magistral " + " ".join(command[3:]), file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=sys.stderr, stdin=subprocess.DEVNULL)


def children_seconds() -> float:
    """Processor time of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def write_lines(path: Path, values: Iterator[Any] | Sequence[Any] | Any) -> None:
    """JSON lines."""
    path.write_text("".join(json.dumps(each) + "\n" for each in values), "utf-8")


if __name__ == "__main__":
    main()
