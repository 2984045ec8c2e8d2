"""Small files written so that a reader finds the old one or the whole new one, never a half."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from .shards import TEMPORARY_SUFFIX, Fault, sync_folder


def write_file(path: Path, data: bytes, fault: Fault) -> str:
    """Write ``data`` under a temporary name, flush, rename; return its SHA-256."""
    temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
    with temporary.open("wb") as file:
        file.write(data[: len(data) // 2])
        fault(f"{path.name}: half written")
        file.write(data[len(data) // 2 :])
        file.flush()
        os.fsync(file.fileno())
    fault(f"{path.name}: flushed")
    os.replace(temporary, path)
    sync_folder(path.parent)
    fault(f"{path.name}: renamed")
    return hashlib.sha256(data).hexdigest()


def encode_json(value: Any) -> bytes:
    """The one way this package writes JSON, so that equal values are equal bytes."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"
