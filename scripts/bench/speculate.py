#!/usr/bin/env python3
"""Decode with `--speculate auto` against plain, and what the gate would gain on other machines.

Real: nano answers questions with auto and off in turn, in one process; the ratio is the median over
the pairs of their tokens per second. Replayed: the acceptance of each id of those replies and of
texts that repeat themselves, as the gate saw it, with the pass costs of curves.py, or of --curve,
in the place of this machine's. Nothing is claimed about the chips of the curves but that
arithmetic.

    scripts/bench/speculate.py [--runs 5] [--curve 1=1,2=1.05,3=1.2,4=1.4,8=1.65] [--json]
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from curves import CURVES, Curve
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


class _Known(PassCosts):
    """Known costs at any context."""

    def __init__(self, costs: Costs) -> None:
        super().__init__("", None)
        self._costs = costs

    def known(self, context_tokens: int) -> Costs:
        return self._costs

    def unmeasured(self, context_tokens: int) -> list[int]:
        return []


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
    parser.add_argument(
        "--curve", help="rows=cost, separated by commas, in passes of one row (default: curves.py)"
    )
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    nano = Magistral.load("nano")
    asked = QUESTIONS if options.runs else ()
    cases = [_paired(nano, question, options.runs) for question in asked]
    ratio = statistics.median([case["ratio"] for case in cases] or [1.0])
    curves = _curves(options.curve)
    replayed = [
        {"text": name, "ids": len(reply), "on": _replays(prompt, reply, curves)}
        for name, prompt, reply in _texts(nano)
    ]
    if options.json:
        sources = {name: curve.source for name, curve in curves.items()}
        found = {"ratio": ratio, "cases": cases, "replayed": replayed, "curves": sources}
        print(json.dumps(found))
        return
    if cases:
        print("question                       plain tok/s  auto / plain")
        for case in cases:
            print(f"{case['question']:30} {case['plain_tps']:11.1f} {case['ratio']:13.3f}")
        print(f"median {ratio:.3f}\n")
    print("replayed: speed over plain, and ids a pass")
    print(f"{'text':22} {'ids':>5}" + "".join(f"{name:>18}" for name in curves))
    for each in replayed:
        told = [f"{on['gain']:10.2f} ({on['ids_per_pass']:5.2f})" for on in each["on"].values()]
        print(f"{each['text']:22} {each['ids']:5}" + "".join(told))


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


def _curves(given: str | None) -> Mapping[str, Curve]:
    if given is None:
        return CURVES
    pairs = [pair.split("=") for pair in given.split(",")]
    return {"--curve": Curve({int(rows): float(cost) for rows, cost in pairs}, "given")}


def _replays(
    prompt: Sequence[int], reply: Sequence[int], curves: Mapping[str, Curve]
) -> dict[str, dict[str, float]]:
    return {name: _replayed(prompt, reply, curve.costs) for name, curve in curves.items()}


def _replayed(prompt: Sequence[int], reply: Sequence[int], costs: Costs) -> dict[str, float]:
    """Replay a reply: the gate drafts, the known ids decide, the curve says what it takes."""
    drafts = Drafts(prompt, _Known(costs))
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
    return {"ids_per_pass": len(reply) / passes, "gain": len(reply) * costs(1) / seconds}


if __name__ == "__main__":
    main()
