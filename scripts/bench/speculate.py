#!/usr/bin/env python3
"""Decode with `--speculate auto` against plain, and what the gate would gain on another machine.

Real: nano answers questions with auto and off in turn, in one process; the ratio is the median over
the pairs of their tokens per second. Simulated: the acceptance of each id of those replies and of a
text that repeats itself, as the gate saw it, with the pass costs of --curve in the place of this
machine's. Nothing is claimed about the machine of the curve but that arithmetic.

    scripts/bench/speculate.py [--runs 5] [--curve 1=1,2=1.05,3=1.2,4=1.4,8=1.65] [--json]
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from mlx_magistral import Magistral
from mlx_magistral.decode.speculation import lookup
from mlx_magistral.decode.speculation.drafts import Drafts
from mlx_magistral.decode.speculation.gate import Costs
from mlx_magistral.decode.speculation.pass_costs import PassCosts
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.text.reasoning import ParserState

QUESTIONS = (
    "What is 345 + 67?",
    "What is 8234 - 5168?",
    "What is 47 * 36?",
    "Sort 52, 17, 94, 38 and 61.",
)
# The M4 Pro's: rows of a pass to its cost, in passes of one row.
CURVE = "1=1,2=1.05,3=1.2,4=1.4,8=1.65"


class _Curve(PassCosts):
    """Known costs at any context."""

    def __init__(self, costs: Costs) -> None:
        super().__init__("", None)
        self._costs = costs

    def known(self, context_tokens: int) -> Costs:
        return self._costs


class _Loop:
    """As much of a decode loop as the gate asks for."""

    class _Layer:
        offset = 0

    def __init__(self, left: int) -> None:
        self.left = left
        self.cache = [self._Layer()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--runs", type=int, default=5, help="counted pairs of each question; 0: replay"
    )
    parser.add_argument("--curve", default=CURVE, help="rows=cost, separated by commas")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    nano = Magistral.load("nano")
    asked = QUESTIONS if options.runs else ()
    cases = [_paired(nano, question, options.runs) for question in asked]
    ratio = statistics.median([case["ratio"] for case in cases] or [1.0])
    curve = {int(rows): float(cost) for rows, cost in _pairs(options.curve)}
    simulated = [
        {"text": name, **_simulated(prompt, reply, Costs(curve))}
        for name, prompt, reply in _texts(nano)
    ]
    if options.json:
        print(json.dumps({"ratio": ratio, "cases": cases, "simulated": simulated}))
        return
    print("question                       plain tok/s  auto / plain")
    for case in cases:
        print(f"{case['question']:30} {case['plain_tps']:11.1f} {case['ratio']:13.3f}")
    print(f"median {ratio:.3f}\n\ntext                     ids  ids/pass  speed at --curve / plain")
    for each in simulated:
        print(
            f"{each['text']:22} {each['ids']:5}  {each['ids_per_pass']:8.2f}  {each['gain']:12.2f}"
        )


def _paired(nano: Magistral, question: str, runs: int) -> dict[str, float | str]:
    speeds: dict[str, list[float]] = {"off": [], "auto": []}
    for run in range(runs + 1):
        for mode in ("off", "auto") if run % 2 else ("auto", "off"):
            reply = nano.generate(question, temperature=0, speculate=mode)
            if run:
                speeds[mode].append(reply.timings.decode_tps)
    pairs = zip(speeds["auto"], speeds["off"], strict=True)
    return {
        "question": question,
        "plain_tps": statistics.median(speeds["off"]),
        "ratio": statistics.median(auto / plain for auto, plain in pairs),
    }


def _texts(nano: Magistral) -> list[tuple[str, list[int], list[int]]]:
    """Prompts and replies to replay: nano's own, prose, and an edited copy of the prompt."""
    texts = []
    for question in QUESTIONS:
        stream = nano.stream(question, temperature=0)
        list(stream)
        prompt = stream.progress.plan.prompt
        texts.append((f"nano: {question}"[:22], prompt, stream.progress.tokens[len(prompt) :]))
    prose = nano.tokenizer.encode((nano_folder() / "SYSTEM_PROMPT.txt").read_text() * 3)
    half = len(prose) // 3
    texts.append(("prose, first reading", [1], prose[:half]))
    texts.append(("prose, quoted again", prose[:half], prose[half : 2 * half]))
    code = Path(lookup.__file__).read_text()
    changed = code.replace("guess", "next_id").replace("LONGEST_MATCH", "MOST_LOOKED_BACK", 2)
    asked, written = nano.tokenizer.encode(code), nano.tokenizer.encode(changed)
    texts.append(("code, a name changed", asked, written))
    edited = [token for place, token in enumerate(prose[:half]) if place % 25]
    texts.append(("a copy, 4 % edited", prose[:half], edited))
    return texts


def _simulated(prompt: Sequence[int], reply: Sequence[int], costs: Costs) -> dict[str, float]:
    """Replay a reply: the gate drafts, the known ids decide, the curve says what it takes."""
    drafts = Drafts(prompt, _Curve(costs))
    at, passes, seconds = 0, 0, 0.0
    while at < len(reply):
        loop = _Loop(len(reply) - at)
        draft = drafts.propose(loop) if at else None  # type: ignore[arg-type]
        guessed: list[int] = [] if draft is None else list(map(int, draft.tolist()))  # type: ignore[arg-type]
        kept = 0
        while kept < min(len(guessed), loop.left - 1) and guessed[kept] == reply[at + kept]:
            kept += 1
        if guessed:
            drafts.accepted(len(guessed), kept)
        for token in reply[at : at + kept + 1]:
            drafts.feed(token, ParserState.CONTENT)
        at += kept + 1
        passes += 1
        seconds += costs(len(guessed) + 1)
    return {
        "ids": len(reply),
        "ids_per_pass": len(reply) / passes,
        "gain": len(reply) * costs(1) / seconds,
    }


def _pairs(text: str) -> list[list[str]]:
    return [pair.split("=") for pair in text.split(",")]


if __name__ == "__main__":
    main()
