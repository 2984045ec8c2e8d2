"""Checkpoint: a folder of weights, whatever its kind, as checked tensors in HF names and layout.

Kinds are told apart by content, never by the folder's name. Opening reads headers alone; reading
maps one tensor at a time and keeps none, so a 47 GB folder costs what the caller holds. Also what
the converter reads from. Turning tensors into a model is weights.py's business.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from pathlib import Path

import mlx.core as mx

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.config import ModelConfig, read_json
from mlx_magistral.model.inventory import TensorInfo, take_inventory
from mlx_magistral.model.names import is_permuted, permute
from mlx_magistral.model.quant_config import QuantConfig
from mlx_magistral.model.weight_files import HF_STEM, NATIVE_STEM, has_weights, read_headers

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
    """

    folder: Path
    kind: Kind
    config: ModelConfig
    quantization: QuantConfig | None
    tensors: dict[str, TensorInfo]
    skipped: tuple[str, ...] = ()
    passed_over: str | None = None

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
    """Find, read and check a folder's headers.

    A folder with both HF and native weights, as Mistral publishes them, opens as HF where those are
    complete, else as native. Raises CheckpointError naming everything that is wrong.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder. Give the folder of a downloaded model.")
    kinds = ((_open_hf, HF_CONFIG, HF_STEM), (_open_native, NATIVE_CONFIG, NATIVE_STEM))
    readers = [
        reader
        for reader, config, stem in kinds
        if (folder / config).is_file() and has_weights(folder, stem)
    ]
    if not readers:
        raise CheckpointError(
            f"{folder} is no model folder: it has neither {HF_CONFIG} with {HF_STEM}*.safetensors "
            f"nor {NATIVE_CONFIG} with {NATIVE_STEM}*.safetensors."
        )
    refusals: list[str] = []
    for reader in readers:
        try:
            checkpoint = reader(folder)
        except CheckpointError as error:
            refusals.append(str(error))
            continue
        return replace(checkpoint, passed_over=_passed_over(refusals, len(readers)))
    raise CheckpointError("\n".join(refusals))


def _open_hf(folder: Path) -> Checkpoint:
    source = folder / HF_CONFIG
    content = read_json(source)
    config = ModelConfig.from_hf(content, source)
    quantization = QuantConfig.from_hf(content, source)
    inventory = take_inventory(
        read_headers(folder, HF_STEM), config, quantization, is_native=False, folder=folder
    )
    kind = Kind.HF if quantization is None else Kind.QUANTIZED
    return Checkpoint(folder, kind, config, quantization, inventory.tensors, inventory.skipped)


def _open_native(folder: Path) -> Checkpoint:
    source = folder / NATIVE_CONFIG
    config = ModelConfig.from_params(read_json(source), source)
    inventory = take_inventory(
        read_headers(folder, NATIVE_STEM), config, None, is_native=True, folder=folder
    )
    return Checkpoint(folder, Kind.NATIVE, config, None, inventory.tensors, inventory.skipped)


def _passed_over(refusals: list[str], kinds: int) -> str | None:
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
