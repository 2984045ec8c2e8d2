"""Checkpoint: a folder of weights, whatever its kind, as checked tensors in HF names and layout.

Kinds are told apart by content, never by the folder's name. Opening reads headers alone; reading
maps one tensor at a time and keeps none, so a 47 GB folder costs what the caller holds. Also what
the converter reads from. Turning tensors into a model is weights.py's business.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from pathlib import Path

import mlx.core as mx

from mlx_magistral.errors import CheckpointError, DamagedFileError
from mlx_magistral.model.config import ModelConfig, ties_without_head
from mlx_magistral.model.config_fields import read_json
from mlx_magistral.model.inventory import EMBEDDING, Inventory, TensorInfo
from mlx_magistral.model.names import is_permuted, permute
from mlx_magistral.model.quant_config import QuantConfig
from mlx_magistral.model.weight_choice import (
    choose_weights,
    require_equal,
    tied_where_headless,
)
from mlx_magistral.model.weight_files import (
    HF_STEM,
    NATIVE_STEM,
    FolderFiles,
    ModelFiles,
    index_name,
    other_weights,
)

HF_CONFIG = "config.json"
NATIVE_CONFIG = "params.json"


class Kind(Enum):
    """How a folder stores its weights."""

    NATIVE = "native"  # params.json + consolidated*.safetensors
    HF = "HF"  # config.json + model*.safetensors
    QUANTIZED = "MLX-quantized"  # HF with MLX's quantization in config.json


@dataclass(frozen=True)
class Checkpoint:
    """A complete folder: every tensor is there, of the right shape and dtype, and none too many.

    ``tensors`` goes by HF name in the order of the model. ``skipped`` are stored tensors that are
    no part of the text model; ``passed_over`` says which other weights of the folder are not used.
    ``spare_head`` is stored beside an embedding that it is tied to.
    """

    folder: Path
    kind: Kind
    config: ModelConfig
    quantization: QuantConfig | None
    tensors: dict[str, TensorInfo]
    skipped: tuple[str, ...] = ()
    passed_over: str | None = None
    spare_head: TensorInfo | None = None

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all tensors, exactly: what the loaded weights will take."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def read(self, name: str) -> mx.array:
        """One tensor by HF name, in HF layout and its stored dtype, mapped and not yet read.

        Evaluating it reads the file on the CPU stream: a file read inside a GPU command buffer can
        exceed the GPU's time limit on a Mac. Nothing of it stays here.
        """
        info = self.tensors[name]
        return self._in_hf_layout(info, _map_file(info.file)[info.source_name])

    def read_all(self) -> Iterator[tuple[str, mx.array]]:
        """Name and array of each tensor, in order, like ``read`` but opening each file once."""
        files: dict[Path, dict[str, mx.array]] = {}
        for name, info in self.tensors.items():
            if info.file not in files:
                files[info.file] = _map_file(info.file)
            # pop: an array that its user has evaluated and dropped must not live on in here.
            yield name, self._in_hf_layout(info, files[info.file].pop(info.source_name))

    def _in_hf_layout(self, info: TensorInfo, array: mx.array) -> mx.array:
        if self.kind is Kind.NATIVE and is_permuted(info.name):
            with mx.stream(mx.cpu):
                return permute(array, self.config.head_dim)
        return array


def open_checkpoint(folder: Path | str) -> Checkpoint:
    """Find, read and check a folder's headers; see read_checkpoint.

    Raises CheckpointError naming everything that is wrong.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder. Give the folder of a downloaded model.")
    checkpoint = read_checkpoint(FolderFiles(folder))
    if checkpoint.spare_head is not None:
        require_equal(checkpoint.spare_head, checkpoint.tensors[EMBEDDING])
    return checkpoint


def read_checkpoint(files: ModelFiles) -> Checkpoint:
    """Check a model by its small files and its headers alone, wherever its weights are.

    One with both HF and native weights, as Mistral publishes them, is read as HF where those are
    complete, else as native. Raises CheckpointError naming everything that is wrong.
    """
    kinds = ((_open_hf, HF_CONFIG, HF_STEM), (_open_native, NATIVE_CONFIG, NATIVE_STEM))
    readers: list[Callable[[ModelFiles], Checkpoint]] = [
        reader
        for reader, config, stem in kinds
        if files.has(config) and (files.weights(stem) or files.has(index_name(stem)))
    ]
    if not readers:
        raise CheckpointError(
            f"{files.label} is no model folder: it has neither {HF_CONFIG} with "
            f"{HF_STEM}*.safetensors nor {NATIVE_CONFIG} with {NATIVE_STEM}*.safetensors."
            f"{other_weights(path.name for path in files.folder.glob('*'))}"
        )
    refusals: list[CheckpointError] = []
    for reader in readers:
        try:
            checkpoint = reader(files)
        except CheckpointError as error:
            refusals.append(error)
            continue
        return replace(checkpoint, passed_over=_passed_over(refusals, len(readers)))
    can_be_mended = any(isinstance(refusal, DamagedFileError) for refusal in refusals)
    kind = DamagedFileError if can_be_mended else CheckpointError
    raise kind("\n".join(map(str, refusals)))


def _open_hf(files: ModelFiles) -> Checkpoint:
    source = f"{files.label}/{HF_CONFIG}"
    content = read_json(files.read(HF_CONFIG))
    config = ModelConfig.from_hf(content, source)
    if ties_without_head(content):
        config = tied_where_headless(config, files)
    try:
        quantization, refused = QuantConfig.from_hf(content, source), None
    except CheckpointError as error:
        # bitsandbytes and others leave their entry in config.json when they write floats back.
        quantization, refused = None, error
    try:
        inventory = choose_weights(files, HF_STEM, config, quantization)
    except CheckpointError:
        if refused is not None:
            raise refused from None
        raise
    if quantization is not None:
        # What the shapes told where the config left it open holds from here on.
        formats = {**quantization.overrides, **inventory.formats}
        quantization = replace(quantization, overrides=formats)
    kind = Kind.HF if quantization is None else Kind.QUANTIZED
    return _checkpoint(files, kind, config, quantization, inventory)


def _open_native(files: ModelFiles) -> Checkpoint:
    source = f"{files.label}/{NATIVE_CONFIG}"
    config = ModelConfig.from_params(read_json(files.read(NATIVE_CONFIG)), source)
    inventory = choose_weights(files, NATIVE_STEM, config, None)
    return _checkpoint(files, Kind.NATIVE, config, None, inventory)


def _checkpoint(
    files: ModelFiles,
    kind: Kind,
    config: ModelConfig,
    quantization: QuantConfig | None,
    inventory: Inventory,
) -> Checkpoint:
    return Checkpoint(
        files.folder,
        kind,
        config,
        quantization,
        inventory.tensors,
        inventory.skipped,
        spare_head=inventory.spare_head,
    )


def _passed_over(refusals: list[CheckpointError], kinds: int) -> str | None:
    if refusals:
        return f"The HF weights are not used. {refusals[0]}"
    return "The native weights in the same folder are not used." if kinds > 1 else None


def _map_file(file: Path) -> dict[str, mx.array]:
    try:
        mapped = mx.load(str(file), stream=mx.cpu)
    except RuntimeError as error:
        raise CheckpointError(f"{file} is refused by mlx: {error}.") from error
    assert isinstance(mapped, dict)  # what mx.load makes of a .safetensors file
    return mapped
