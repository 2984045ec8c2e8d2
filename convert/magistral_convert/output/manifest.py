"""conversion.json: where every byte of a converted folder came from, and what it hashes to.

Holds no time and no path, so the same source and recipe give the same bytes. It seals itself: the
last key is the SHA-256 of the rest, and any other spelling of the same values is refused.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.errors import ConversionError

from .files import encode_json

MANIFEST_FILE = "conversion.json"
_FORMAT = 1
_SEAL = "sha256"


@dataclass(frozen=True)
class TensorRecord:
    """What became of one source tensor."""

    bits: int
    group_size: int | None  # None where it is stored as it is
    method: str
    error: float  # root of (sum of squared differences / sum of squares)
    # Output error on the calibration inputs against that of the plain method; None without any.
    loss_to_plain: float | None
    source_sha256: str  # of the bytes in the source file
    sha256: dict[str, str]  # entry of the shard -> its bytes


@dataclass(frozen=True)
class ShardRecord:
    """A finished shard: its file's hash and its tensors by source name (HF)."""

    nbytes: int
    sha256: str
    tensors: dict[str, TensorRecord]

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ShardRecord":
        """The inverse of ``to_json``. Raises KeyError or TypeError where it is something else."""
        tensors = {name: TensorRecord(**record) for name, record in value["tensors"].items()}
        return cls(value["nbytes"], value["sha256"], tensors)


@dataclass(frozen=True)
class Manifest:
    """All of conversion.json."""

    tool: dict[str, str]
    source: dict[str, Any]
    recipe: dict[str, Any]
    bits_per_weight: float
    quality: dict[str, Any]
    files: dict[str, str]  # every other file of the folder -> SHA-256
    shards: dict[str, ShardRecord]

    def encode(self) -> bytes:
        """The file's bytes, sealed."""
        body = {"format": _FORMAT, **asdict(self)}
        seal = hashlib.sha256(encode_json(body)).hexdigest()
        return encode_json({**body, _SEAL: seal})


def read_manifest(folder: Path) -> Manifest:
    """Read and check a folder's conversion.json. Raises ConversionError naming what is wrong."""
    path = folder / MANIFEST_FILE
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConversionError(
            f"{folder} has no readable {MANIFEST_FILE} ({error.strerror}). Name a folder that "
            "`mlx-magistral convert` wrote."
        ) from error
    try:
        body = json.loads(data)
        seal = body.pop(_SEAL)
        if data != encode_json({**body, _SEAL: seal}):
            raise ValueError("its bytes are not as written")
        if seal != hashlib.sha256(encode_json(body)).hexdigest():
            raise ValueError("its values do not match its own hash")
        if body.pop("format") != _FORMAT:
            raise ValueError("it is of another format version")
        shards = {
            name: ShardRecord.from_json(record) for name, record in body.pop("shards").items()
        }
        return Manifest(**body, shards=shards)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConversionError(f"{path} is damaged: {error}.") from error
