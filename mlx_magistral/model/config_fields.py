"""Fields of a checkpoint's JSON files, read strictly: errors name the file, the key, the value."""

import json
from pathlib import Path
from typing import Any

from mlx_magistral.errors import CheckpointError, DamagedFileError
from mlx_magistral.lfs_pointer import is_lfs_pointer, lfs_advice


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a checkpoint; raises CheckpointError naming the file."""
    try:
        data = path.read_bytes()
        if is_lfs_pointer(data):
            raise CheckpointError(lfs_advice(path))
        content = json.loads(data.decode("utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedFileError(f"{path} cannot be read: {error}. Fetch the file again.") from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path} holds no JSON object. Fetch the file again.")
    return content


def required(content: dict[str, Any], key: str, source: Path | str) -> Any:
    """A value that must be there."""
    if content.get(key) is None:
        raise CheckpointError(f"{source} has no {key}. Fetch the file again; it is never guessed.")
    return content[key]


def count(content: dict[str, Any], key: str, source: Path | str) -> int:
    """A positive whole number."""
    value = required(content, key, source)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CheckpointError(f"{source}: {key} is {value!r}, not a positive whole number.")
    return value


def optional_count(content: dict[str, Any], key: str, source: Path | str) -> int | None:
    """A positive whole number, or None where it is left out."""
    return None if content.get(key) is None else count(content, key, source)


def positive(content: dict[str, Any], key: str, source: Path | str) -> float:
    """A positive number."""
    value = required(content, key, source)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e300:
        raise CheckpointError(f"{source}: {key} is {value!r}, not a positive number.")
    return float(value)


def flag(content: dict[str, Any], key: str, source: Path | str) -> bool:
    """True or false; false where it is left out."""
    value = content.get(key, False)
    if not isinstance(value, bool):
        raise CheckpointError(f"{source}: {key} is {value!r}, not true or false.")
    return value
