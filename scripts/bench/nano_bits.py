#!/usr/bin/env python3
"""What quantization costs nano: task accuracy by recipe, on problems it never saw.

Converts nano with the project's own converter, takes the weights back out of the folder exactly as
MLX dequantizes them, and runs the evaluation of scripts/nano/train.py on them, many prompts at a
time (MLX's quantized product is slow on a CPU; the values are the same). Needs what that needs.
Recipes other than plain are calibrated on nano's own training conversations.

    scripts/bench/nano_bits.py [--count 100] [--cases plain-16 plain-4 calibrated-3.6 ...] [--json]
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import torch
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from cases import recipe_of
from magistral_convert.calibration.data import CalibrationText, TokenText, token_sequences
from magistral_convert.calibration.text_choice import CALIBRATION_TOKENS
from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.checkpoint import open_checkpoint
from mlx_magistral.model.names import is_permuted, native_name, unpermute

sys.path.insert(0, str(Path(__file__).parents[1] / "nano"))
from nano_data.chat import Encoder  # noqa: E402
from nano_data.evaluation import accuracy, cases_of, run_cases  # noqa: E402
from nano_data.files import read_model  # noqa: E402
from nano_data.model import Nano  # noqa: E402
from nano_data.report import KINDS  # noqa: E402

_TRACES_A_KIND = 12


CASES = ("plain-16", "plain-8", "plain-6", "plain-4", "calibrated-4", "calibrated-3.6")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="problems a task, half of each kind")
    parser.add_argument("--cases", nargs="+", default=list(CASES), help="names, see cases.py")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {}
    for name in options.cases:
        begun = time.process_time()
        with tempfile.TemporaryDirectory() as scratch:
            model, bits_per_weight = _converted(Path(scratch), recipe_of(name))
            rows[name] = {
                **_accuracies(model, options.count),
                "bits a weight": round(bits_per_weight, 3),
                "processor seconds": round(time.process_time() - begun),
            }
    if options.json:
        print(json.dumps({"count": options.count, "cases": rows}))
        return
    print(f"{'task':20}" + "".join(f"{name:>16}" for name in rows))
    for kind in [*KINDS, "mean"]:
        print(f"{kind:20}" + "".join(f"{row[kind]:16.1%}" for row in rows.values()))


def _converted(scratch: Path, recipe: Recipe) -> tuple[Nano, float]:
    """nano's weights after a round trip through the converter, and their bits a weight."""
    text = CalibrationText.split(_traces()) if recipe.needs_text else None
    folder = scratch / "converted"
    report = convert_checkpoint(open_source(nano_folder()), folder, recipe, text=text)
    model = read_model(nano_folder())
    model.load_state_dict({name: torch.from_numpy(array) for name, array in _weights(folder)})
    return model.eval(), report.bits_per_weight


def _traces() -> TokenText:
    """Conversations with reasoning as nano was trained on, half with the official system prompt."""
    encoder = Encoder(Tekkenizer.from_file(nano_folder() / "tekken.json"))
    tokens: list[int] = []
    for kind in KINDS:
        for official in (True, False):
            for case in cases_of(
                encoder, kind, "train", _TRACES_A_KIND, 7, official=official, language=None
            ):
                prefix = encoder.prefix if case.has_prefix else []
                tokens += [*prefix, *case.prompt, *case.wanted]
    document = {"tokens": tokens}
    return token_sequences([document], None, limit=CALIBRATION_TOKENS)


def _weights(folder: Path) -> list[tuple[str, Any]]:
    """Native name and float32 values, native row order, of every tensor of a converted folder."""
    checkpoint = open_checkpoint(folder)
    weights = []
    for name in checkpoint.tensors:
        if not name.endswith(".weight"):
            continue
        array, module = checkpoint.read(name), name.removesuffix(".weight")
        if f"{module}.scales" in checkpoint.tensors:
            assert checkpoint.quantization is not None
            stored = checkpoint.quantization.for_path(module)
            assert stored is not None
            scales = checkpoint.read(f"{module}.scales").astype(mx.float32)
            biases = checkpoint.read(f"{module}.biases").astype(mx.float32)
            array = mx.dequantize(array, scales, biases, stored.group_size, stored.bits)
        array = array.astype(mx.float32)
        if is_permuted(name):
            array = unpermute(array, checkpoint.config.head_dim)
        native = native_name(name)
        assert native is not None
        weights.append((native, np.array(array)))
    return weights


def _accuracies(model: Nano, count: int) -> dict[str, float]:
    """Share of right answers a task, half with the official system prompt and half without."""
    encoder = Encoder(Tekkenizer.from_file(nano_folder() / "tekken.json"))
    shares = {}
    for kind in KINDS:
        cases = [
            case
            for official in (True, False)
            for case in cases_of(
                encoder, kind, "test", count // 2, official, official=official, language=None
            )
        ]
        shares[kind] = accuracy(run_cases(model, encoder, cases))
    return {**shares, "mean": sum(shares.values()) / len(shares)}


if __name__ == "__main__":
    main()
