"""The name under which a model's prefixes are kept: its weights by content, and how it computes.

By content, because files of two fine-tunes may have one size, one header and one date. What is
known of the content is taken from where it is written down (the hub's cache names blobs by their
hash, a converted folder has conversion.json); the rest is read in samples.
"""

import hashlib
import os
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import mlx.core as mx

from mlx_magistral.errors import CheckpointError
from mlx_magistral.hub.cache import blob_name
from mlx_magistral.model.checkpoint import Checkpoint
from mlx_magistral.model.inventory import TensorInfo

_MANIFEST = "conversion.json"
# Read whole, which takes as long as the samples of a large one.
_SMALL_BYTES = 8 << 20
# Of every tensor, at a third and at two thirds: 128 weights in 16 bits, or of 4-bit codes 512.
_SAMPLES = 2
_SAMPLE_BYTES = 256


def model_fingerprint(checkpoint: Checkpoint, kv_bits: int, chunk_tokens: int) -> str:
    """Names the weights, the KV format, and what else changes the last bits of keys and values.

    Raises CheckpointError where a file cannot be read.
    """
    how = (kv_bits, chunk_tokens, mx.__version__, mx.default_device())  # type: ignore[attr-defined]
    return hashlib.sha256(f"{weights_fingerprint(checkpoint)}{how}".encode()).hexdigest()


def weights_fingerprint(checkpoint: Checkpoint, *, by_date: bool = True) -> str:
    """Names the weights by content, and how they are quantized.

    ``by_date=False`` leaves the date out that may tell an edited file: copies on several machines
    have one name then. Takes a few ms whatever the size: reading 13 GB would take longer than most
    prefills that a prefix spares. Raises CheckpointError where a file cannot be read.
    """
    digest = hashlib.sha256(f"{checkpoint.config}{checkpoint.quantization}".encode())
    for tensor in checkpoint.tensors.values():
        digest.update(f"{tensor.name}{tensor.shape}{tensor.dtype}{tensor.start}".encode())
    manifest = checkpoint.folder / _MANIFEST
    try:
        is_converted = manifest.is_file()
        if is_converted:
            digest.update(hashlib.sha256(manifest.read_bytes()).digest())
        by_file = sorted(
            checkpoint.tensors.values(), key=lambda tensor: (tensor.file, tensor.start)
        )
        for file, tensors in groupby(by_file, key=lambda tensor: tensor.file):
            digest.update(_content(file, tensors, has_date=by_date and not is_converted))
    except OSError as error:
        raise CheckpointError(
            f"{error.filename or checkpoint.folder} cannot be read: {error.strerror}."
        ) from error
    return digest.hexdigest()


def _content(file: Path, tensors: Iterable[TensorInfo], *, has_date: bool) -> bytes:
    """What tells a file's tensors from others: a hash of them, or samples.

    Samples do not show a single row that was edited, so beside them the file's date counts where
    nothing else vouches for the content: at worst a copy computes a prompt once more.
    """
    if (blob := blob_name(file)) is not None:
        return blob.encode()
    facts = file.stat()
    if facts.st_size <= _SMALL_BYTES:
        return hashlib.sha256(file.read_bytes()).digest()
    digest = hashlib.sha256(f"{facts.st_size}{facts.st_mtime_ns if has_date else ''}".encode())
    with file.open("rb", buffering=0) as stream:
        for tensor in tensors:
            for place in range(1, _SAMPLES + 1):
                start = tensor.start + tensor.nbytes * place // (_SAMPLES + 1)
                count = min(_SAMPLE_BYTES, tensor.start + tensor.nbytes - start)
                digest.update(os.pread(stream.fileno(), count, start))
    return digest.digest()
