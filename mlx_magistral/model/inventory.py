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
from mlx_magistral.model.quant_config import QuantConfig, QuantFormat
from mlx_magistral.model.safetensors_header import StoredTensor

_FLOATS = ("BF16", "F16", "F32")
_PACKED = ("U32",)
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
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
    """The model's tensors by HF name, in its order, and the stored names that it does not use.

    ``formats`` are those of the quantized modules, by path. ``spare_head`` is a head that is stored
    although the configuration ties it: of the embedding's shape, and nothing is said of its values.
    """

    tensors: dict[str, TensorInfo]
    skipped: tuple[str, ...]
    formats: dict[str, QuantFormat]
    spare_head: TensorInfo | None = None


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
    label: str,
) -> Inventory:
    """Match stored tensors with what ``config`` needs; ``label`` names the model in errors.

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
    spare_head = _take_spare_head(config, found)
    formats = _formats(config, quantization, found)
    needs = _needs(config, formats)
    problems = [
        *_listed("stored twice", doubled),
        *_listed("missing", [name for name in needs if name not in found]),
        *_listed("not part of the model", [found[n].source_name for n in found if n not in needs]),
        *_misfits(needs, found),
    ]
    if problems:
        raise CheckpointError(_message(label, problems, config, found))
    tensors = {name: found[name] for name in needs}
    return Inventory(tensors, tuple(sorted(skipped)), formats, spare_head)


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


def _take_spare_head(config: ModelConfig, found: dict[str, TensorInfo]) -> TensorInfo | None:
    """Take a stored head out where it repeats the embedding, as torch's own files have it."""
    head, embedding = found.get(HEAD), found.get(EMBEDDING)
    if not config.tie_word_embeddings or head is None or embedding is None:
        return None
    if (head.shape, head.dtype) != (embedding.shape, embedding.dtype) or head.dtype in _PACKED:
        return None
    return found.pop(HEAD)


def _formats(
    config: ModelConfig, quantization: QuantConfig | None, found: dict[str, TensorInfo]
) -> dict[str, QuantFormat]:
    """Module path -> format of what is stored in codes.

    That is where the config has a format for it and codes or scales are stored: mlx-lm leaves some
    matrices float and does not say so in config.json.
    """
    formats: dict[str, QuantFormat] = {}
    for name, shape in expected_shapes(config).items():
        module = name.removesuffix(".weight")
        is_packed = name in found and found[name].dtype in _PACKED
        if quantization is None or len(shape) != 2:
            continue
        if not (is_packed or f"{module}.scales" in found):
            continue
        form = quantization.for_path(module, _stored_format(module, shape, found))
        if form is not None:
            formats[module] = form
    return formats


def _stored_format(
    module: str, shape: tuple[int, ...], found: dict[str, TensorInfo]
) -> QuantFormat | None:
    """What the shapes of codes and scales tell of the format; None where they tell nothing."""
    codes, scales = found.get(f"{module}.weight"), found.get(f"{module}.scales")
    if codes is None or scales is None or len(codes.shape) != 2 or len(scales.shape) != 2:
        return None
    width, groups = shape[1], scales.shape[1]
    if not groups or width % groups or codes.shape[1] * 32 % width:
        return None
    return QuantFormat(width // groups, codes.shape[1] * 32 // width)


def _needs(config: ModelConfig, formats: dict[str, QuantFormat]) -> dict[str, _Need]:
    """What the model needs, in order."""
    needs = {}
    for name, shape in expected_shapes(config).items():
        form = formats.get(name.removesuffix(".weight"))
        if form is None:
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
    label: str, problems: list[str], config: ModelConfig, found: dict[str, TensorInfo]
) -> str:
    lines = [f"{label}: the weights do not fit the configuration.", *problems]
    if config.tie_word_embeddings == (HEAD in found):
        state = "ties" if config.tie_word_embeddings else "does not tie"
        lines.append(f"The configuration {state} the head to the embedding.")
    lines.append("Fetch the folder again, or use the configuration these weights came with.")
    return "\n  ".join(lines)
