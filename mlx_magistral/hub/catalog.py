"""The models on this disk: nano, what the hub's cache holds, and folders the user has named.

Listing reads names and sizes alone, no header and no mlx.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from mlx_magistral.errors import ModelNotFoundError, UsageError
from mlx_magistral.hub.cache import cached_models, find_snapshot, repository_folder
from mlx_magistral.hub.files import has_all_weights
from mlx_magistral.hub.known_folders import is_model_folder, short_names
from mlx_magistral.hub.resolve import NANO, default_model, named_folder, nano_folder


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
    found += [_describe(name, folder, "hub") for name, folder in cached_models()]
    found += [_describe(name, folder, "folder") for name, folder in short_names().items()]
    return found


def is_default(model: LocalModel) -> bool:
    """Whether commands take it where none is named."""
    name = default_model()
    folder = named_folder(name)
    return model.name == name or (folder is not None and folder.resolve() == model.folder)


def what_to_remove(name: str) -> list[Path]:
    """The folder to delete for a model: a converted one, or a repository of the hub's cache.

    Raises UsageError for nano and for what is no model, ModelNotFoundError for an unknown name.
    """
    if name == NANO:
        raise UsageError("nano is a part of this package and stays.")
    folder = named_folder(name) or Path(name).expanduser()
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
