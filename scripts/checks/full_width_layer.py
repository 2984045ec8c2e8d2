#!/usr/bin/env python3
"""One layer of Magistral's width through a calibrated conversion: memory and time as predicted?

Random weights, the built-in text in nano's tokens, every stage to its end. Prints what was told
before the start and what it came to, and exits 1 where memory is more than 10 % or time more than
25 % off. At full width it takes 100 minutes of one core and 9.4 GB. --share 16 tries whether
all of it works on a sixteenth of the width in ten seconds; so narrow a layer needs less memory than
is told, most of which is a part that does not depend on the width.

    scripts/checks/full_width_layer.py [--work FOLDER] [--share 8] [--tokens 65536] [--bits 4]
"""

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import mlx.core as mx

from magistral_convert.calibration.data import CalibrationText
from magistral_convert.calibration.text_choice import CALIBRATION_TOKENS, choose_text
from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.progress import Forecast, Watcher
from magistral_convert.recipe import Method, Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.memory.known import MAGISTRAL_SMALL
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes
from mlx_magistral.text.tokenizer import load_tokenizer

_MEMORY_TOLERANCE, _TIME_TOLERANCE = 0.10, 0.25


class _Plan(Watcher):
    """Keeps what is told before the start."""

    def foretold(self, forecast: Forecast) -> None:
        self.memory_bytes, self.seconds = forecast.memory_bytes, forecast.seconds or 0.0
        self.begun = time.perf_counter()
        print(f"predicted: {self.memory_bytes / 1e9:.2f} GB, {self.seconds:.0f} s", flush=True)

    def started(self, tensor: str) -> None:
        print(f"{time.perf_counter() - self.begun:7.0f} s  {tensor}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/full-width"))
    parser.add_argument("--share", type=int, default=1, help="a so much narrower layer")
    parser.add_argument("--tokens", type=int, default=CALIBRATION_TOKENS)
    parser.add_argument("--bits", type=int, default=4)
    options = parser.parse_args()
    source = options.work / f"layer-{options.share}"
    write_layer(source, options.share)
    output = options.work / "out"
    for folder in (output, output.with_name("out.partial")):
        shutil.rmtree(folder, ignore_errors=True)
    text = CalibrationText.split(choose_text(nano_folder(), None, limit=options.tokens))
    watcher, processor = _Plan(), time.process_time()
    recipe = Recipe(options.bits, method=Method.CALIBRATED)
    report = convert_checkpoint(open_source(source), output, recipe, text=text, watcher=watcher)
    seconds = time.perf_counter() - watcher.begun
    memory = report.peak_memory_bytes / watcher.memory_bytes
    pace = seconds / watcher.seconds
    print(
        f"measured: {report.peak_memory_bytes / 1e9:.2f} GB, {memory:.2f} of the prediction; "
        f"{seconds:.0f} s ({time.process_time() - processor:.0f} s of processor time on "
        f"{os.cpu_count()} cores), {pace:.2f} of it; KL {report.quality['KL mean']}"
    )
    is_right = abs(memory - 1) <= _MEMORY_TOLERANCE and abs(pace - 1) <= _TIME_TOLERANCE
    return 0 if is_right else 1


def write_layer(folder: Path, share: int) -> None:
    """An HF checkpoint of one random layer, with nano's vocabulary; nothing where it is there."""
    if (folder / "config.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    whole = MAGISTRAL_SMALL
    config = replace(
        whole,
        n_layers=1,
        dim=whole.dim // share,
        hidden_dim=whole.hidden_dim // share,
        n_heads=whole.n_heads // share,
        n_kv_heads=max(1, whole.n_kv_heads // share),
        vocab_size=load_tokenizer(nano_folder()).vocab_size,
    )
    mx.random.seed(0)
    weights = {
        name: _random(shape).astype(mx.bfloat16) for name, shape in expected_shapes(config).items()
    }
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "pt"})
    shutil.copy(nano_folder() / "tekken.json", folder / "tekken.json")
    (folder / "config.json").write_text(json.dumps(_hf_config(config)))


def _random(shape: tuple[int, ...]) -> mx.array:
    return mx.ones(shape) if len(shape) == 1 else mx.random.normal(shape) / shape[1] ** 0.5


def _hf_config(config: ModelConfig) -> dict[str, object]:
    return {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_position_embeddings,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
    }


if __name__ == "__main__":
    sys.exit(main())
