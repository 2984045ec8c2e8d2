#!/usr/bin/env python3
"""What each recipe keeps of a real model: KL to the source on text that no calibration saw.

Subject: SmolLM2-135M-Instruct off its 4-bit grid (smollm2.py), fetched once into --work. Calibrated
on its own answers, English prose and code; measured on other answers and other prose. A conversion
that was killed goes on where it stopped. tables.py makes the tables of docs/converting.md.

    scripts/bench/quality.py [--work FOLDER] [--cases plain-4 calibrated-3.6 ...] [--prompts 192]
                             [--json]
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from cases import plain_case, recipe_of
from magistral_convert.calibration.calibration import IMPORTANCE_FILE
from magistral_convert.calibration.data import CalibrationText
from magistral_convert.calibration.importance import importance_tokens
from magistral_convert.compare import compare_models
from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.progress import Forecast, Watcher
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from magistral_convert.sources.layer_weights import TokenArray
from smollm2 import PROMPTS, fetch_gguf, write_chats, write_checkpoint

_LENGTH = 512
CASES = (
    "plain-3", "calibrated-3", "calibrated-3-static", "calibrated-3.6", "calibrated-4.0",
    "plain-4", "search-4", "calibrated-4", "calibrated-4-static", "calibrated-4.7",
    "plain-5", "calibrated-5", "plain-6", "calibrated-6", "plain-8", "calibrated-8",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/quality"))
    parser.add_argument("--cases", nargs="+", default=list(CASES), help="names, see cases.py")
    add_prompts_option(parser)
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    checkpoint = options.work / "offgrid"
    options.work.mkdir(parents=True, exist_ok=True)
    if not (checkpoint / "tokenizer.json").exists():
        write_checkpoint(fetch_gguf(options.work), checkpoint)
    text = bench_text(checkpoint, options.work, options.prompts)
    rows: dict[str, dict[str, Any]] = {}
    for name in options.cases:
        rows[name] = measure(checkpoint, options.work / f"out-{name}", recipe_of(name), text)
        if not options.json:
            print(_line(name, rows), flush=True)
    if options.json:
        plain, calibrated = rows.get("plain-4"), rows.get("calibrated-4")
        ratio = calibrated["KL mean"] / plain["KL mean"] if plain and calibrated else None
        print(json.dumps({"ratio": ratio, "cases": rows}))


class _SharedImportance(Watcher):
    """Lends one conversion what another measured of the same source and text.

    The importance of each token depends on nothing else, and costs a fifth of a conversion.
    """

    def __init__(self, output: Path, kept: Path) -> None:
        records = output.with_name(output.name + ".partial") / "journal"
        self._own, self._kept = records / IMPORTANCE_FILE, kept

    def foretold(self, forecast: Forecast) -> None:
        if self._kept.exists():
            shutil.copy(self._kept, self._own)

    def started(self, tensor: str) -> None:
        if self._own.exists() and not self._kept.exists():
            partial = self._kept.with_suffix(".copying")
            shutil.copy(self._own, partial)
            partial.replace(self._kept)


def measure(
    checkpoint: Path, output: Path, recipe: Recipe, text: CalibrationText
) -> dict[str, Any]:
    """Convert, compare with the source on the held-out rows, remove the output."""
    shutil.rmtree(output, ignore_errors=True)
    begun, processor = time.perf_counter(), time.process_time()
    source = open_source(checkpoint)
    used = text if recipe.needs_text else None
    tokens = importance_tokens(source.config)
    kept = output.with_name(f"importance-{text.sha256[:12]}-{tokens}.npz")
    watcher = _SharedImportance(output, kept)
    report = convert_checkpoint(source, output, recipe, text=used, watcher=watcher)
    quality = (
        report.quality
        or compare_models(
            source, open_source(output), text.held_out, kinds=text.held_out_kinds
        ).summary()
    )
    shutil.rmtree(output)
    return {
        **quality,
        "bits a weight": round(report.bits_per_weight, 3),
        "MB": round(report.nbytes / 1e6, 1),
        "seconds": round(time.perf_counter() - begun),
        "processor seconds": round(time.process_time() - processor),
        "layers resumed": report.shards_resumed,
        "peak MB": round(report.peak_memory_bytes / 1e6),
    }


def add_prompts_option(parser: argparse.ArgumentParser) -> None:
    """Fewer answers make a smaller text, and figures that compare with those of that text alone."""
    parser.add_argument(
        "--prompts", type=int, default=len(PROMPTS), help="of the model's own answers; 32 a batch"
    )


def bench_text(checkpoint: Path, work: Path, prompts: int = len(PROMPTS)) -> CalibrationText:
    """Answers on three quarters of the topics, as many tokens of prose and code; the rest held out.

    Of all prompts that is about 70,000 tokens to calibrate on, of 32 about 12,000; held out are
    answers on other topics and other prose.
    """
    import argparse as argument_parsing
    import fractions
    import heapq
    import inspect
    import statistics
    import textwrap
    from pydoc_data.topics import topics

    from tokenizers import Tokenizer

    chats_file = work / f"chats-{prompts}.json"
    if not chats_file.exists():
        write_chats(checkpoint, chats_file, prompts)
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    chats = json.loads(chats_file.read_text())
    prose = tokenizer.encode("\n\n".join(topics[name] for name in sorted(topics))).ids
    modules = (heapq, statistics, fractions, textwrap, argument_parsing)
    code = tokenizer.encode("\n".join(inspect.getsource(module) for module in modules)).ids
    seen = 3 * len(chats) // 4
    answers = _rows(sum(chats[:seen], []))
    most_prose = 5 * answers.size // 8
    documents = [_rows(prose[: min(most_prose, 29696)]), _rows(code[: answers.size - most_prose])]
    calibration = [answers, *documents]
    held_out = {"answers": _rows(sum(chats[seen:], []))[:6], "prose": _rows(prose[30000:31536])}
    kinds = [np.full(rows.shape, kind) for kind, rows in held_out.items()]
    return CalibrationText(
        np.concatenate(calibration), np.concatenate(list(held_out.values())), np.concatenate(kinds)
    )


def _rows(tokens: list[int]) -> TokenArray:
    whole = len(tokens) // _LENGTH * _LENGTH
    return np.array(tokens[:whole], np.int64).reshape(-1, _LENGTH)


def _line(name: str, rows: dict[str, dict[str, Any]]) -> str:
    row, plain = rows[name], rows.get(plain_case(name))
    ratio = f"{row['KL mean'] / plain['KL mean']:5.2f}" if plain else "    -"
    return (
        f"{name:20} {row['bits a weight']:6.3f} bits {row['MB']:7.1f} MB  KL {row['KL mean']:8.5f} "
        f"({ratio} of plain)  top-1 {row['top-1 agreement']:6.1%}  "
        f"{row['seconds']:4d} s  {row['peak MB']:5d} MB"
    )


if __name__ == "__main__":
    main()
