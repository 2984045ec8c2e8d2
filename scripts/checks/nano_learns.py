#!/usr/bin/env python3
"""nano learns a task that it fails, in minutes of a CPU, and keeps what it knew; in four commands.

The task is a number and twice another one. nano adds well and does not know "twice": it adds the
two as they are. There are 2,000 examples and 2,040 of nano's own tasks, and 24 steps of 16;
held out are pairs that no example has. Both these and `eval nano` are asked 130 times, before and
after. With --bits 4 the base is quantized first: QLoRA.

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

NEW_EXAMPLES, HELD_OUT = 2000, 130
# Of nano's own tasks: what is shortest is most of it, for the time.
OLD = {
    "addition": 700,
    "subtraction": 300,
    "comparison": 100,
    "largest": 60,
    "product_by_digit": 80,
    "product_2x2": 60,
    "counting": 120,
    "sorting": 60,
    "story": 100,
    "chain": 400,
    "large": 60,
}
QUESTIONS = (
    "What is {a} plus twice {b}?",
    "{a} plus twice {b}?",
    "Add twice {b} to {a}.",
    "How much is {a} and twice {b}?",
    "What do you get when you add twice {b} to {a}?",
)
TRAINING = (
    *("--batch-size", "16", "--iters", "24"),
    *("--learning-rate", "1e-3", "--rank", "16", "--alpha", "32", "--eval-every", "8"),
    *("--valid-share", "0.02", "--save-every", "8", "--seed", "1"),
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
    report(arguments.bits, before, after, seconds, as_json=arguments.json)


def write_data(work: Path) -> None:
    """train.jsonl, in no order, and twice.jsonl, the problems that are held out."""
    draw = random.Random(7)
    lines = [twice(draw, "train")[2] for _ in range(NEW_EXAMPLES)]
    for kind, count in OLD.items():
        lines += [old_chat(conversation(draw, kind, "train")) for _ in range(count)]
    draw.shuffle(lines)
    write_lines(work / "train.jsonl", ({"messages": each} for each in lines))
    draw, problems = random.Random(8), {}
    while len(problems) < HELD_OUT:
        pair, value, chat = twice(draw, "test")
        problems[pair] = {"problem": chat[0]["content"], "answer": str(value)}
    write_lines(work / "twice.jsonl", problems.values())


def twice(draw: random.Random, split: str) -> tuple[str, int, list[dict[str, str]]]:
    """Two numbers that are in the split, the first and twice the second, and the chat."""
    while True:
        a, b = draw.randint(1, 99), draw.randint(1, 99)
        if split_of(f"twice:{a},{b}") == split:
            break
    work = scratch.chain(a, [("+", b), ("+", b)])
    chat = [
        {"role": "user", "content": draw.choice(QUESTIONS).format(a=a, b=b)},
        {
            "role": "assistant",
            "reasoning": f"{a}+{b}+{b}\n{work.text}",
            "content": f"The result is $\\boxed{{{work.value}}}$.",
        },
    ]
    return f"{a},{b}", work.value, chat


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
        greedy += ("--limit", HELD_OUT)
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
