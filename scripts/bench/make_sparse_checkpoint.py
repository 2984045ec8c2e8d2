#!/usr/bin/env python3
"""A checkpoint with exactly Magistral's tensors that takes no disk: all weights are holes.

For measuring the converter at full size. The files read as zeros, 47,144,806,400 bytes of them.

    scripts/bench/make_sparse_checkpoint.py FOLDER [--hf] [--layers 40]
"""

import argparse
import json
import os
from collections.abc import Sequence
from math import prod
from pathlib import Path

from magistral_convert.output.shards import ShardEntry, encode_header
from mlx_magistral.memory.known import MAGISTRAL_SMALL
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes, native_name

_HF_SHARDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hf", action="store_true", help="ten HF shards instead of one file")
    parser.add_argument("--layers", type=int, default=MAGISTRAL_SMALL.n_layers)
    options = parser.parse_args()
    config = ModelConfig(**{**vars(MAGISTRAL_SMALL), "n_layers": options.layers})
    nbytes = (write_hf if options.hf else write_native)(options.folder, config)
    print(f"{options.folder}: {nbytes:,} bytes of weights, all holes")


def write_native(folder: Path, config: ModelConfig) -> int:
    """Write params.json and one consolidated.safetensors; return the bytes of its tensors."""
    folder.mkdir(parents=True)
    (folder / "params.json").write_text(json.dumps(config.to_params(), indent=2))
    entries = [_entry(native_name(name), shape) for name, shape in expected_shapes(config).items()]
    return _write_sparse(folder / "consolidated.safetensors", entries)


def write_hf(folder: Path, config: ModelConfig) -> int:
    """Write config.json, ten shards and their index; return the bytes of all tensors."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.to_hf(), indent=2))
    shapes = list(expected_shapes(config).items())
    a_shard = -(-len(shapes) // _HF_SHARDS)
    places: dict[str, str] = {}
    total = 0
    for number in range(_HF_SHARDS):
        part = shapes[number * a_shard : (number + 1) * a_shard]
        file = f"model-{number + 1:05d}-of-{_HF_SHARDS:05d}.safetensors"
        total += _write_sparse(folder / file, [_entry(name, shape) for name, shape in part])
        places.update((name, file) for name, _ in part)
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    return total


def _entry(name: str | None, shape: tuple[int, ...]) -> ShardEntry:
    assert name is not None
    return ShardEntry(name, "BF16", shape)


def _write_sparse(path: Path, entries: Sequence[ShardEntry]) -> int:
    header = encode_header(entries)
    total = 2 * sum(prod(entry.shape) for entry in entries)
    path.write_bytes(header)
    os.truncate(path, len(header) + total)
    return total


if __name__ == "__main__":
    main()
