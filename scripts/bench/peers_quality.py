#!/usr/bin/env python3
"""What mlx-lm's own quantizers keep of the model of quality.py, on the same text.

``convert-N`` is what mlx_lm.convert -q writes at N bits. The others call mlx_lm.quant.gptq and
mlx_lm.quant.awq as their commands do, at 4 bits in groups of 64, with the calibration rows of
quality.py instead of the text they fetch. Without a GPU they would take hours, so they work
in float32 with numpy's products for their linear layers and Hessians, and what is not codes is
stored in bfloat16 in the end. AWQ runs every layer 60 times, on --awq-rows.

    scripts/bench/peers_quality.py [--work FOLDER] [--cases convert-4 gptq ...] [--prompts 192]
                                   [--awq-rows 16] [--json]
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx import nn
from mlx_lm.quant.awq import AWQ_MODEL_CONFIGS, awq_quantize, update_config
from mlx_lm.quant.gptq import Catcher, gptq_quantize
from mlx_lm.utils import load_model, quantize_model, save_config, save_model

from magistral_convert.compare import compare_models
from magistral_convert.rounding.dense import product
from magistral_convert.sources.kinds import open_source
from magistral_convert.sources.layer_weights import TokenArray
from quality import add_prompts_option, bench_text
from smollm2 import fetch_gguf, write_checkpoint

_BITS, _GROUP_SIZE = 4, 64
CASES = ("convert-4", "convert-6", "convert-8", "gptq", "awq")
# What mlx_lm.quant.gptq gives the embedding, and awq the embedding and the head.
_GPTQ_FALLBACK_BITS = 6
_AWQ_EMBEDDING = {"embed_bits": 4, "embed_group_size": 32}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/quality"))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    add_prompts_option(parser)
    parser.add_argument("--awq-rows", type=int, default=16, help="rows of 512 tokens for AWQ")
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    multiply_fast()
    checkpoint = options.work / "offgrid"
    options.work.mkdir(parents=True, exist_ok=True)
    if not (checkpoint / "tokenizer.json").exists():
        write_checkpoint(fetch_gguf(options.work), checkpoint)
    text = bench_text(checkpoint, options.work, options.prompts)
    source = open_source(checkpoint)
    rows: dict[str, dict[str, Any]] = {}
    for case in options.cases:
        output = options.work / f"mlxlm-{case}"
        used = _spread(text.calibration, options.awq_rows) if case == "awq" else text.calibration
        begun = time.perf_counter()
        quantize(checkpoint, output, case, used)
        seconds = time.perf_counter() - begun
        result = open_source(output)
        weights = sum(mx.prod(mx.array(shape)).item() for shape in source.shapes.values())
        rows[case] = compare_models(source, result, text.held_out).summary() | {
            "bits a weight": round(8 * result.nbytes / weights, 3),
            "calibration tokens": 0 if case.startswith("convert") else used.size,
            "seconds": round(seconds),
        }
        if not options.json:
            print(case, json.dumps(rows[case]), flush=True)
    if options.json:
        print(json.dumps({"cases": rows}))


def multiply_fast() -> None:
    """Let mlx's linear layers and mlx-lm's Hessians use the product that is fast here."""

    def linear(self: nn.Linear, x: mx.array) -> mx.array:
        result = product(x, self.weight.T)
        return result + self.bias if "bias" in self else result

    def catch(self: Catcher, x: mx.array) -> mx.array:
        rows = x.flatten(0, -2)
        self.H = self.H + product(rows.T, rows)
        return self.module(x)

    nn.Linear.__call__ = linear
    Catcher.__call__ = catch


def quantize(checkpoint: Path, output: Path, case: str, tokens: TokenArray) -> None:
    """Write ``checkpoint`` into ``output`` as mlx-lm quantizes it."""
    model, config = load_model(checkpoint)
    data = mx.array(tokens)
    if case.startswith("convert"):
        model, config = quantize_model(model, config, _GROUP_SIZE, int(case.rpartition("-")[2]))
        _save(model, config, output)
        return
    model.set_dtype(mx.float32)
    if case == "gptq":
        fallback = (_GPTQ_FALLBACK_BITS, _GROUP_SIZE)
        model, config["quantization"] = gptq_quantize(model, data, _BITS, _GROUP_SIZE, *fallback)
    else:
        recipe = AWQ_MODEL_CONFIGS[config["model_type"]]
        awq_quantize(model, data, recipe, _GROUP_SIZE, _BITS, **_AWQ_EMBEDDING)
        config = update_config(model, config)
    model.set_dtype(mx.bfloat16)
    _save(model, config, output)


def _save(model: nn.Module, config: dict[str, Any], output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    save_model(output, model)
    save_config(config, output / "config.json")


def _spread(tokens: TokenArray, count: int) -> TokenArray:
    """So many rows, evenly from all kinds of text."""
    return tokens[:: max(1, len(tokens) // count)][:count]


if __name__ == "__main__":
    main()
