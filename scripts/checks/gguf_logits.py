#!/usr/bin/env python3
"""A real GGUF file (SmolLM2-135M, Q4_1) through the converter: our logits against transformers'.

Fetches the file once into --work. transformers gets the weights as smollm2.py decodes them, on its
own way from the same file.

    scripts/checks/gguf_logits.py [--work build/quality]
"""

import argparse
import shutil
import sys
from pathlib import Path

import mlx.core as mx
import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral.model.weights import load_model

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from smollm2 import PROMPTS, fetch_gguf, write_checkpoint  # noqa: E402

_TOLERANCE = 1e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/quality"))
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    path, reference, output = fetch_gguf(work), work / "ongrid", work / "from-gguf"
    write_checkpoint(path, reference, is_rotated=False)
    shutil.rmtree(output, ignore_errors=True)
    convert_checkpoint(open_source(path), output, Recipe(16))
    ids = Tokenizer.from_file(str(reference / "tokenizer.json")).encode(PROMPTS[1]).ids
    theirs = AutoModelForCausalLM.from_pretrained(reference, dtype=torch.float32)
    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits.numpy()
    ours = load_model(output).model
    ours.set_dtype(mx.float32)
    difference = np.abs(np.array(ours(mx.array([ids]))) - expected).max()
    print(f"largest difference of {expected.size:,} logits: {difference:.2e}")
    if difference > _TOLERANCE:
        raise SystemExit(f"more than {_TOLERANCE}: the conversion is wrong")


if __name__ == "__main__":
    main()
