"""The strict check: what a model needs against what its files hold, in one error.

Knows names, shapes and dtypes; reads no tensor.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import (
    expected_shapes,
    hf_name,
    is_skipped,
    quantized_shapes,
    text_name,
)
from mlx_magistral.model.quant_config import QuantConfig
from mlx_magistral.model.safetensors_header import StoredTensor

_FLOATS = ("BF16", "F16", "F32")
_PACKED = ("U32",)
# Names listed of each sort of problem; a wrong dtype would otherwise print all 363.
_NAMES_SHOWN = 6


@dataclass(frozen=True)
class TensorInfo:
    """One tensor of the model and where it is stored.

    ``shape`` and ``dtype`` ("BF16", "F16", "F32", "U32") are as stored, which is also the HF shape:
    native wq and wk differ in the order of their rows only. ``start`` is a byte offset in ``file``.
    """

    name: str
    source_name: str
    shape: tuple[int, ...]
    dtype: str
    file: Path
    nbytes: int
    start: int


@dataclass(frozen=True)
class Inventory:
    """The model's tensors by HF name, in its order, and the stored names that it does not use."""

    tensors: dict[str, TensorInfo]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class _Need:
    """Shape and allowed dtypes of a tensor."""

    shape: tuple[int, ...]
    dtypes: tuple[str, ...]


def take_inventory(
    stored: Iterable[StoredTensor],
    config: ModelConfig,
    quantization: QuantConfig | None,
    *,
    is_native: bool,
    folder: Path,
) -> Inventory:
    """Match stored tensors with what ``config`` needs.

    Raises one CheckpointError that names every missing, extra, doubled or mis-shaped tensor and
    every wrong dtype, long lists shortened with their count.
    """
    found: dict[str, TensorInfo] = {}
    skipped, doubled = [], []
    for tensor in stored:
        if is_skipped(tensor.name):
            skipped.append(tensor.name)
            continue
        info = _info(tensor, is_native)
        if info.name in found:
            doubled.append(info.name)
        found[info.name] = info
    needs = _needs(config, quantization, found)
    problems = [
        *_listed("stored twice", doubled),
        *_listed("missing", [name for name in needs if name not in found]),
        *_listed("not part of the model", [found[n].source_name for n in found if n not in needs]),
        *_misfits(needs, found),
    ]
    if problems:
        raise CheckpointError(_message(folder, problems, config, found))
    return Inventory({name: found[name] for name in needs}, tuple(sorted(skipped)))


def _info(tensor: StoredTensor, is_native: bool) -> TensorInfo:
    name = hf_name(tensor.name) if is_native else text_name(tensor.name)
    return TensorInfo(
        name=name or tensor.name,
        source_name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        file=tensor.file,
        nbytes=tensor.nbytes,
        start=tensor.start,
    )


def _needs(
    config: ModelConfig, quantization: QuantConfig | None, found: dict[str, TensorInfo]
) -> dict[str, _Need]:
    """What the model needs, in order.

    A matrix counts as quantized where the config has a format for it and codes or scales are
    stored: mlx-lm leaves some matrices float and does not say so in config.json.
    """
    needs = {}
    for name, shape in expected_shapes(config).items():
        module = name.removesuffix(".weight")
        form = quantization.for_path(module) if quantization and len(shape) == 2 else None
        is_packed = name in found and found[name].dtype in _PACKED
        if form is None or not (is_packed or f"{module}.scales" in found):
            needs[name] = _Need(shape, _FLOATS)
            continue
        parts = quantized_shapes(name, shape, form.group_size, form.bits)
        for part, part_shape in parts.items():
            needs[part] = _Need(part_shape, _PACKED if part == name else _FLOATS)
    return needs


def _misfits(needs: dict[str, _Need], found: dict[str, TensorInfo]) -> Iterator[str]:
    present = [(need, found[name]) for name, need in needs.items() if name in found]
    yield from _listed(
        "of the wrong shape",
        [
            f"{info.source_name} {list(info.shape)} instead of {list(need.shape)}"
            for need, info in present
            if info.shape != need.shape
        ],
    )
    yield from _listed(
        "of the wrong dtype",
        [
            f"{info.source_name} {info.dtype} instead of {' or '.join(need.dtypes)}"
            for need, info in present
            if info.dtype not in need.dtypes
        ],
    )


def _listed(problem: str, names: list[str]) -> list[str]:
    """One line for a sort of problem, or none."""
    if not names:
        return []
    shown = ", ".join(names[:_NAMES_SHOWN])
    more = len(names) - _NAMES_SHOWN
    return [f"{problem} ({len(names)}): {shown}" + (f" and {more} more" if more > 0 else "")]


def _message(
    folder: Path, problems: list[str], config: ModelConfig, found: dict[str, TensorInfo]
) -> str:
    lines = [f"{folder}: the weights do not fit the configuration.", *problems]
    if config.tie_word_embeddings == ("lm_head.weight" in found):
        state = "ties" if config.tie_word_embeddings else "does not tie"
        lines.append(f"The configuration {state} the head to the embedding.")
    lines.append("Fetch the folder again, or use the configuration these weights came with.")
    return "\n  ".join(lines)
