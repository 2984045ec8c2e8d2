"""Folders as mlx-lm writes them: every mode, width and recipe of its converter, and its logits."""

import contextlib
import io
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.convert import QUANT_RECIPES, convert
from mlx_lm.utils import load_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

MODES = {"affine": (None, None), "mxfp4": (32, 4), "nvfp4": (16, 4), "mxfp8": (32, 8)}
WIDTHS = (2, 3, 4, 5, 6, 8)
GROUPS = (32, 64, 128)
# What mlx-lm's other programs (awq, gptq, dwq, dynamic_quant) write has the form of a recipe: codes
# in affine mode, and a table of modules. They need text from the hub, and so are not run here.


def write_all(
    root: Path, sources: dict[str, Path], misread: dict[str, Path], tokens: list[list[int]]
) -> None:
    """Convert ``sources`` (name -> HF folder) in every way; each output has its logits.npy.

    ``misread`` are folders with rope_theta in rope_parameters alone, as transformers 5 saves them:
    mlx-lm takes 10000 there. The logits of what it makes of these are the source's own.
    """
    for name, source in misread.items():
        _add_tokenizer(source)
        _write(root / name, source, tokens)
        shutil.copy(source / "logits.npy", root / name)
    for name, source in sources.items():
        _add_tokenizer(source)
        _write(root / f"{name}, not quantized", source, tokens)
        _write(root / f"{name}, 4 bits", source, tokens, quantize=True)
    source = next(iter(sources.values()))
    for bits in WIDTHS:
        for group in GROUPS:
            title = f"affine, {bits} bits, groups of {group}"
            _write(root / title, source, tokens, quantize=True, q_bits=bits, q_group_size=group)
    for mode in set(MODES) - {"affine"}:
        _write(root / f"mode {mode}", source, tokens, quantize=True, q_mode=mode)
    for recipe in QUANT_RECIPES:
        _write(root / f"recipe {recipe}", source, tokens, quantize=True, quant_predicate=recipe)
        _write(
            root / f"recipe {recipe}, groups of 32",
            source,
            tokens,
            quantize=True,
            quant_predicate=recipe,
            q_group_size=32,
        )
    _write(root / "float16", source, tokens, dtype="float16")
    _write(root / "dequantized again", root / "recipe mixed_4_6", tokens, dequantize=True)


def _write(folder: Path, source: Path, tokens: list[list[int]], **options: Any) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        convert(str(source), str(folder), **options)
    model, _ = load_model(folder)
    model.set_dtype(mx.float32)
    np.save(folder / "logits.npy", np.array(model(mx.array(tokens))))


def _add_tokenizer(folder: Path) -> None:
    """mlx-lm converts no model without one; it has no part in the logits."""
    words = Tokenizer(WordLevel({str(token): token for token in range(320)}, unk_token="0"))
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(folder)
