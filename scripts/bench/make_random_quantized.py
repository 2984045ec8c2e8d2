#!/usr/bin/env python3
"""A quantized folder of Magistral's exact shapes with random weights, made where MLX computes.

For measuring speed at full size without the checkpoint: prefill and decode cost what they cost with
the real weights, replies mean nothing. Weights are normal, codes and scales are mx.quantize's.

    scripts/bench/make_random_quantized.py FOLDER [--bits 4] [--layers 40]
"""

import argparse
import json
from pathlib import Path

import mlx.core as mx

from full_tekken import write_full_tekken
from mlx_magistral.memory.known import MAGISTRAL_SMALL
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes

_GROUP_SIZE = 64
_SPREAD = 0.02
_SHARD_BYTES = 4_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bits", type=int, choices=[4, 6, 8], default=4)
    parser.add_argument("--layers", type=int, default=MAGISTRAL_SMALL.n_layers)
    options = parser.parse_args()
    config = ModelConfig(**{**vars(MAGISTRAL_SMALL), "n_layers": options.layers})
    nbytes = write_random_quantized(options.folder, config, options.bits)
    print(f"{options.folder}: {nbytes:,} bytes of random weights at {options.bits} bits")


def write_random_quantized(folder: Path, config: ModelConfig, bits: int) -> int:
    """Write config.json, tekken.json, the shards and their index; return the bytes of tensors."""
    write_full_tekken(folder)
    quantization = {"group_size": _GROUP_SIZE, "bits": bits, "mode": "affine"}
    content = {**config.to_hf(), "torch_dtype": "bfloat16", "quantization": quantization}
    (folder / "config.json").write_text(json.dumps(content, indent=2))
    mx.random.seed(0)
    places: dict[str, str] = {}
    shard: dict[str, mx.array] = {}

    *_, last = expected_shapes(config)

    def write() -> None:
        name = f"model-{len(set(places.values())) + 1:05d}.safetensors"
        mx.save_safetensors(str(folder / name), shard, {"format": "mlx"})
        places.update(dict.fromkeys(shard, name))
        shard.clear()

    total = waiting = 0
    for name, shape in expected_shapes(config).items():
        parts = _tensor(name, shape, bits)
        shard |= parts
        waiting += sum(array.nbytes for array in parts.values())
        if waiting > _SHARD_BYTES or name == last:
            write()
            total, waiting = total + waiting, 0
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    return total


def _tensor(name: str, shape: tuple[int, ...], bits: int) -> dict[str, mx.array]:
    """A norm of ones, or a matrix as its codes, scales and biases."""
    if len(shape) == 1:
        parts = {name: mx.ones(shape, mx.bfloat16)}
    else:
        weights = mx.random.normal(shape, dtype=mx.bfloat16) * _SPREAD
        module = name.removesuffix(".weight")
        suffixes = ("weight", "scales", "biases")
        arrays = mx.quantize(weights, group_size=_GROUP_SIZE, bits=bits)
        parts = {f"{module}.{s}": array for s, array in zip(suffixes, arrays, strict=True)}
    mx.eval(parts)
    return parts


if __name__ == "__main__":
    main()
