"""A head's folder, as published by either camp: found, checked against its target, and loaded."""

# mypy: allow-untyped-calls

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.nn.layers.quantized import quantize

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.config_fields import read_json
from mlx_magistral.model.eagle.config import HeadConfig, is_head
from mlx_magistral.model.eagle.network import Head
from mlx_magistral.model.safetensors_header import StoredTensor, read_header

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
# SafeAILab and SGLang call the layer midlayer.
_LAYER_NAMES = re.compile(r"^(?:model\.)?(?:midlayer|layers\.0)\.")
# Of the target, stored by some trainers beside the head; and the inverse of d2t.
_NOT_OURS = ("t2d", "verifier_lm_head.weight", "verifier_norm.weight")
_FLOATS = ("F32", "F16", "BF16")
# A head that is read with a quantized target guesses as well at this width, and twice as fast.
QUANTIZED_BITS, _GROUP = 8, 64


@dataclass(frozen=True)
class LoadedHead:
    """A head with its weights. ``targets`` (draft vocabulary,) are the ids its columns stand for,
    None where the two vocabularies are one."""

    network: Head
    config: HeadConfig
    targets: mx.array | None


@dataclass(frozen=True)
class HeadFiles:
    """A head's folder, checked by its headers. ``tensors`` go by the names of the network."""

    folder: Path
    config: HeadConfig
    tensors: dict[str, StoredTensor]

    def loaded_bytes(self, is_quantized: bool) -> int:
        """What its weights take in memory, in 16 bits or mostly in 8."""
        bits = QUANTIZED_BITS + 32 / _GROUP if is_quantized else 16
        return int(sum(math.prod(each.shape) for each in self.tensors.values()) * bits / 8)

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in its cache."""
        return 2 * 2 * self.config.layer.n_kv_heads * self.config.layer.head_dim


def is_head_folder(folder: Path) -> bool:
    """Whether a folder holds an EAGLE-3 head and no model."""
    config = folder / CONFIG_FILE
    return config.is_file() and is_head(read_json(config))


def open_head(folder: Path, target: ModelConfig) -> HeadFiles:
    """Check a head by its config and headers; raises CheckpointError naming what does not fit."""
    config = HeadConfig.from_json(read_json(folder / CONFIG_FILE), folder / CONFIG_FILE, target)
    stored: dict[str, StoredTensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        stored |= {_network_name(name): each for name, each in read_header(file).items()}
    if not stored:
        raise CheckpointError(
            f"{folder} has no .safetensors file. A pytorch_model.bin is not read here: it can run "
            "programs. Save it as safetensors first."
        )
    tensors = {name: each for name, each in stored.items() if name not in _NOT_OURS}
    files = HeadFiles(folder, config, tensors)
    _require_shapes(files)
    return files


def load_head(
    folder: Path, target: ModelConfig, *, dtype: mx.Dtype, is_quantized: bool = False
) -> LoadedHead:
    """The head of a folder for a target of this shape, in the target's dtype.

    Its linears are quantized for a quantized target, of whatever bits. Raises CheckpointError.
    """
    files = open_head(folder, target)
    network = _network(files)
    arrays: dict[str, mx.array] = {}
    for file in {each.file for each in files.tensors.values()}:
        mapped: Any = mx.load(str(file), stream=mx.cpu)
        arrays |= {
            _network_name(name): each
            for name, each in mapped.items()
            if _network_name(name) in files.tensors
        }
    offsets = arrays.pop("d2t", None)
    network.load_weights([(name, each.astype(dtype)) for name, each in arrays.items()])
    if is_quantized:
        quantize(
            network,
            group_size=_GROUP,
            bits=QUANTIZED_BITS,
            class_predicate=lambda _, module: _is_quantizable(module),
        )
    network.eval()
    mx.eval(network.parameters())
    return LoadedHead(network, files.config, _target_ids(files, offsets))


def head_shapes(config: HeadConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor that a head may have; embedding and head may be missing."""
    layer = config.layer
    dim, features = layer.dim, len(config.aux_layers)
    queries, keys = layer.n_heads * layer.head_dim, layer.n_kv_heads * layer.head_dim
    shapes: dict[str, tuple[int, ...]] = {
        "fc.weight": (dim, features * dim),
        "layers.0.self_attn.q_proj.weight": (queries, 2 * dim),
        "layers.0.self_attn.k_proj.weight": (keys, 2 * dim),
        "layers.0.self_attn.v_proj.weight": (keys, 2 * dim),
        "layers.0.self_attn.o_proj.weight": (dim, queries),
        "layers.0.mlp.gate_proj.weight": (layer.hidden_dim, dim),
        "layers.0.mlp.up_proj.weight": (layer.hidden_dim, dim),
        "layers.0.mlp.down_proj.weight": (dim, layer.hidden_dim),
        "layers.0.input_layernorm.weight": (dim,),
        "layers.0.hidden_norm.weight": (dim,),
        "layers.0.post_attention_layernorm.weight": (dim,),
        "norm.weight": (dim,),
        "embed_tokens.weight": (layer.vocab_size, dim),
        "lm_head.weight": (config.draft_vocab_size, dim),
        "d2t": (config.draft_vocab_size,),
    }
    if config.norm_before_fc:
        shapes["input_norm.weight"] = (features * dim,)
    if config.fc_norm:
        shapes |= {f"fc_norm.{place}.weight": (dim,) for place in range(features)}
    return shapes


def _network(files: HeadFiles) -> Head:
    return Head(
        files.config,
        has_embedding="embed_tokens.weight" in files.tensors,
        has_lm_head="lm_head.weight" in files.tensors,
    )


def _network_name(stored: str) -> str:
    return _LAYER_NAMES.sub("layers.0.", stored).removeprefix("model.")


def _require_shapes(files: HeadFiles) -> None:
    expected, optional = head_shapes(files.config), ["embed_tokens.weight"]
    if files.config.draft_vocab_size == files.config.layer.vocab_size:
        optional += ["lm_head.weight", "d2t"]
    for name, shape in expected.items():
        found = files.tensors.get(name)
        if found is None:
            if name not in optional:
                raise CheckpointError(f"{files.folder} has no {name}. Fetch the head again.")
        elif found.shape != shape:
            raise CheckpointError(
                f"{files.folder}: {name} is {found.shape}, and for this model has to be {shape}. "
                "Use a head that was trained for this model."
            )
        elif name != "d2t" and found.dtype not in _FLOATS:
            raise CheckpointError(f"{files.folder}: {name} is stored as {found.dtype}, no float.")
    unknown = [name for name in files.tensors if name not in expected]
    if unknown:
        raise CheckpointError(
            f"{files.folder} has a tensor {unknown[0]}, which is no part of an EAGLE-3 head here."
        )


def _target_ids(files: HeadFiles, offsets: mx.array | None) -> mx.array | None:
    """The target's ids of all columns, as d2t tells them: by how much each is further on."""
    if offsets is None:
        return None
    ids = mx.arange(offsets.shape[0]) + offsets.astype(mx.int32)
    low, high = mx.min(ids).item(), mx.max(ids).item()
    vocabulary = files.config.layer.vocab_size
    if low < 0 or high >= vocabulary:  # type: ignore[operator]
        raise CheckpointError(
            f"{files.folder}: d2t leads to id {high if high >= vocabulary else low}, and "  # type: ignore[operator]
            f"this model has {vocabulary:,}. Use a head that was trained for this model."
        )
    return ids.astype(mx.uint32)


def _is_quantizable(module: Any) -> bool:
    weight = module.get("weight") if hasattr(module, "to_quantized") else None
    return weight is not None and weight.shape[-1] % _GROUP == 0
