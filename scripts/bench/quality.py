#!/usr/bin/env python3
"""What each recipe keeps of a real model: KL to the source on text that no calibration saw.

Subject: SmolLM2-135M-Instruct off its 4-bit grid (smollm2.py), fetched once into --work. Calibrated
on its own answers, English prose and code; measured on other answers and other prose.

    scripts/bench/quality.py [--work FOLDER] [--cases plain-4 calibrated-4 ...] [--json]
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from magistral_convert.calibration.data import CalibrationText
from magistral_convert.compare import compare_models
from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Method, Mix, Recipe, module_path
from magistral_convert.sources.kinds import open_source
from magistral_convert.sources.layer_weights import TokenArray
from mlx_magistral.model.quant_config import QuantFormat
from smollm2 import fetch_gguf, write_chats, write_checkpoint

_LENGTH = 512
_AUTO_BITS = 4.7
CASES: dict[str, Recipe | None] = {
    "plain-4": Recipe(4),
    "search-4": Recipe(4, method=Method.SEARCH),
    "calibrated-4": Recipe(4, method=Method.CALIBRATED),
    "calibrated-4-static": Recipe(4, method=Method.CALIBRATED, mix=Mix.STATIC),
    "calibrated-4-auto": Recipe(
        4, method=Method.CALIBRATED, mix=Mix.AUTO, bits_per_weight=_AUTO_BITS
    ),
    "plain-5": None,  # not offered by itself: every matrix is told its bits, see _five_bits
    "plain-6": Recipe(6),
    "calibrated-6": Recipe(6, method=Method.CALIBRATED),
    "plain-8": Recipe(8),
    "calibrated-8": Recipe(8, method=Method.CALIBRATED),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/quality"))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    checkpoint = options.work / "offgrid"
    options.work.mkdir(parents=True, exist_ok=True)
    if not (checkpoint / "tokenizer.json").exists():
        write_checkpoint(fetch_gguf(options.work), checkpoint)
    text = bench_text(checkpoint, options.work / "chats.json")
    rows = {}
    for name in options.cases:
        recipe = CASES[name] or _five_bits(checkpoint)
        rows[name] = measure(checkpoint, options.work / f"out-{name}", recipe, text)
        if not options.json:
            print(_line(name, rows[name], rows), flush=True)
    if options.json:
        ratio = rows["calibrated-4"]["KL mean"] / rows["plain-4"]["KL mean"]
        print(json.dumps({"ratio": ratio, "cases": rows}))


def measure(
    checkpoint: Path, output: Path, recipe: Recipe, text: CalibrationText
) -> dict[str, Any]:
    """Convert, compare with the source on the held-out rows, remove the output."""
    for folder in (output, output.with_name(output.name + ".partial")):
        shutil.rmtree(folder, ignore_errors=True)
    begun = time.perf_counter()
    source = open_source(checkpoint)
    used = text if recipe.needs_text else None
    report = convert_checkpoint(source, output, recipe, text=used)
    quality = report.quality or compare_models(source, open_source(output), text.held_out).summary()
    shutil.rmtree(output)
    return {
        **quality,
        "bits a weight": round(report.bits_per_weight, 3),
        "MB": round(report.nbytes / 1e6, 1),
        "seconds": round(time.perf_counter() - begun),
        "peak MB": round(report.peak_memory_bytes / 1e6),
    }


def _five_bits(checkpoint: Path) -> Recipe:
    shapes = open_source(checkpoint).shapes
    matrices = [module_path(name) for name, shape in shapes.items() if len(shape) == 2]
    return Recipe(6, overrides=dict.fromkeys(matrices, QuantFormat(64, 5)))


def bench_text(checkpoint: Path, chats_file: Path) -> CalibrationText:
    """Answers on three quarters of the topics, as many tokens of prose and code; the rest held out.

    About 65,000 tokens to calibrate on; held out are answers on other topics and other prose.
    """
    import argparse as argument_parsing
    import fractions
    import heapq
    import inspect
    import statistics
    import textwrap
    from pydoc_data.topics import topics

    from tokenizers import Tokenizer

    if not chats_file.exists():
        write_chats(checkpoint, chats_file)
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
    held_out = [_rows(sum(chats[seen:], []))[:6], _rows(prose[30000:31536])]
    return CalibrationText(np.concatenate(calibration), np.concatenate(held_out))


def _rows(tokens: list[int]) -> TokenArray:
    whole = len(tokens) // _LENGTH * _LENGTH
    return np.array(tokens[:whole], np.int64).reshape(-1, _LENGTH)


def _line(name: str, row: dict[str, Any], rows: dict[str, dict[str, Any]]) -> str:
    plain = rows.get("plain-" + name.split("-")[1])
    ratio = f"{row['KL mean'] / plain['KL mean']:5.2f}" if plain else "    -"
    return (
        f"{name:20} {row['bits a weight']:6.3f} bits {row['MB']:7.1f} MB  KL {row['KL mean']:8.5f} "
        f"({ratio} of plain)  top-1 {row['top-1 agreement']:6.1%}  "
        f"{row['seconds']:4d} s  {row['peak MB']:5d} MB"
    )


if __name__ == "__main__":
    main()
