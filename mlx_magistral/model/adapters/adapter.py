"""Adapter: what a folder changes of a model, whichever tool wrote it.

reading.py makes one of a folder, placing.py puts it in a model.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import mlx.core as mx

CONFIG_FILE = "adapter_config.json"
# What our config adds to mlx-lm's keys: the identity of the base (identity.py) and its name.
BASE_SHA256 = "base_sha256"
BASE_NAME = "base_model"


@dataclass(frozen=True)
class ModuleAdapter:
    """The change of one linear: a (in, rank), b (rank, out), and DoRA's lengths m (out,)."""

    a: mx.array
    b: mx.array
    scale: float
    m: mx.array | None = None


@dataclass(frozen=True)
class Adapter:
    """``modules`` by HF module path; ``weights`` by HF name are tensors that take another's place.

    ``base_sha256`` names the base it was trained on where the folder says so.
    """

    folder: Path
    modules: Mapping[str, ModuleAdapter]
    weights: Mapping[str, mx.array] = field(default_factory=dict)
    base_sha256: str | None = None
    base_name: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    file: Path = Path()

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    @cached_property
    def nbytes(self) -> int:
        """What it takes beside the weights in 16 bits, as a model that only answers holds it."""
        parts = [part for each in self.modules.values() for part in (each.a, each.b, each.m)]
        return 2 * sum(part.size for part in parts if part is not None)

    @cached_property
    def fingerprint(self) -> str:
        """Names what the files hold: a hash of all of it, a quarter of a second for 400 MB."""
        digest = hashlib.sha256(repr(sorted(self.config.items(), key=str)).encode())
        with self.file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()[:32]
