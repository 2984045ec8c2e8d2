"""The models on this disk: nano, what the hub's cache holds, and folders the user has named.

Folders get known by ``remember_folder`` in a small file beside the settings; one that has vanished
is dropped. Listing reads names and sizes alone, no header and no mlx.
"""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from mlx_magistral.errors import MagistralError, ModelNotFoundError, UsageError
from mlx_magistral.hub.cache import (
    cache_folder,
    find_snapshot,
    is_begun,
    repository_folder,
    snapshot_of,
)
from mlx_magistral.hub.files import WEIGHT_FORMATS, has_all_weights
from mlx_magistral.hub.resolve import NANO, nano_folder
from mlx_magistral.settings import config_file, write_text_atomically

_FOLDERS_FILE = "folders.json"


@dataclass(frozen=True)
class LocalModel:
    """A model under the name other commands take; ``origin`` is package, hub or folder."""

    name: str
    folder: Path
    origin: str
    nbytes: int
    bits: str
    is_complete: bool


def local_models() -> list[LocalModel]:
    """nano, then hub models and folders by name."""
    found = [_describe(NANO, nano_folder(), "package")]
    found += [_describe(name, folder, "hub") for name, folder in _cached()]
    found += [_describe(str(folder), folder, "folder") for folder in known_folders()]
    return found


def model_names() -> list[str]:
    """The names alone, for completion."""
    return [NANO, *(name for name, _ in _cached()), *map(str, known_folders())]


def known_folders() -> list[Path]:
    """The remembered folders that are still models."""
    try:
        listed = json.loads(_folders_file().read_text("utf-8"))
    except (OSError, ValueError):
        return []
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return [folder for folder in map(Path, names) if is_model_folder(folder)]


def remember_folder(folder: Path) -> None:
    """Add a model folder to those that are listed; what cannot be written is no failure."""
    folder = folder.resolve()
    if folder == nano_folder().resolve() or folder in known_folders():
        return
    _write_folders([*known_folders(), folder])


def forget_folder(folder: Path) -> None:
    """Take a folder off the list."""
    _write_folders([each for each in known_folders() if each != folder.resolve()])


def is_model_folder(folder: Path) -> bool:
    """Whether there is a configuration with weights beside it."""
    has_config = any((folder / name).is_file() for name in ("config.json", "params.json"))
    return has_config and any(any(folder.glob(each[0])) for each in WEIGHT_FORMATS)


def what_to_remove(name: str) -> list[Path]:
    """The folder to delete for a model: a converted one, or a repository of the hub's cache.

    Raises UsageError for nano and for what is no model, ModelNotFoundError for an unknown name.
    """
    if name == NANO:
        raise UsageError("nano is a part of this package and stays.")
    folder = Path(name).expanduser()
    if folder.exists() or folder.is_symlink():
        if folder.is_symlink():
            raise UsageError(f"{name} is a link. Name the folder it leads to.")
        strangers = _strangers(folder) if is_model_folder(folder) else []
        if not is_model_folder(folder) or strangers:
            also = f": it also holds {strangers[0]}" if strangers else ""
            raise UsageError(f"{name} is no model folder{also}. Nothing was deleted.")
        return [folder.resolve()]
    if name.count("/") == 1 and ".." not in name and (cached := repository_folder(name)).is_dir():
        return [cached]
    raise ModelNotFoundError(f"There is no model {name} on this disk. See `mlx-magistral list`.")


def folder_bytes(folder: Path) -> int:
    """Bytes of all files, each once: a link's own target counts where the target lies."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_size for path in files)


def _strangers(folder: Path) -> list[str]:
    """What a conversion never writes: a reason not to delete the folder."""
    ours = {".json", ".safetensors", ".txt", ".md", ".jinja", ".model"}
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() or (path.suffix not in ours and not path.name.startswith("."))
    )


def _cached() -> list[tuple[str, Path]]:
    """Mistral-shaped models in the hub's cache of which weights are here, whole or not."""
    found = []
    for repository in sorted(cache_folder().glob("models--*--*")):
        name = repository.name.removeprefix("models--").replace("--", "/", 1)
        snapshot = snapshot_of(name)
        if snapshot is not None and _is_mistral(snapshot) and is_begun(name):
            found.append((name, snapshot))
    return found


def _is_mistral(snapshot: Path) -> bool:
    if (snapshot / "params.json").is_file():
        return True
    return _read(snapshot / "config.json").get("model_type") in ("mistral", "mistral3")


def _describe(name: str, folder: Path, origin: str) -> LocalModel:
    is_complete = is_model_folder(folder) and (
        find_snapshot(name) == folder if origin == "hub" else has_all_weights(folder)
    )
    # Of half a download the folder has names alone; what has arrived is among the blobs.
    where = folder if is_complete or origin != "hub" else repository_folder(name) / "blobs"
    nbytes = sum(path.stat().st_size for path in where.iterdir() if path.is_file())
    if (folder / "config.json").is_file():
        quantization = _read(folder / "config.json").get("quantization")
        bits = str(quantization.get("bits", "?")) if isinstance(quantization, dict) else "16"
    else:
        bits = "16"
    return LocalModel(name, folder, origin, nbytes, bits, is_complete)


def _read(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _folders_file() -> Path:
    return config_file().parent / _FOLDERS_FILE


def _write_folders(folders: list[Path]) -> None:
    text = json.dumps(sorted(map(str, folders)), indent=1) + "\n"
    # The list is a convenience: a disk that refuses it must not end a conversion with an error.
    with contextlib.suppress(MagistralError):
        write_text_atomically(_folders_file(), text)
