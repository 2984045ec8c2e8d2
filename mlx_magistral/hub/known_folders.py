"""Model folders that this user has named, and the short names they go by from any folder.

Kept in a small file beside the settings; a folder that has vanished is dropped. No mlx.
"""

import contextlib
import json
from collections import Counter
from pathlib import Path

from mlx_magistral.errors import MagistralError
from mlx_magistral.hub.files import WEIGHT_FORMATS
from mlx_magistral.settings import config_file, write_text_atomically

# The embedded model, whose name no folder can take.
NANO = "nano"

_FOLDERS_FILE = "folders.json"


def nano_folder() -> Path:
    """The embedded model's folder inside this package."""
    return Path(__file__).parents[1] / NANO


def known_folders() -> list[Path]:
    """The remembered folders that are still models."""
    try:
        listed = json.loads(_folders_file().read_text("utf-8"))
    except (OSError, ValueError):
        return []
    names = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return [folder for folder in map(Path, names) if is_model_folder(folder)]


def short_names() -> dict[str, Path]:
    """Each remembered folder by its last part; by its whole path where two share that."""
    folders = known_folders()
    counts = Counter(folder.name for folder in folders)
    is_short = {name for name, count in counts.items() if count == 1 and name != NANO}
    return {folder.name if folder.name in is_short else str(folder): folder for folder in folders}


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


def _folders_file() -> Path:
    return config_file().parent / _FOLDERS_FILE


def _write_folders(folders: list[Path]) -> None:
    text = json.dumps(sorted(map(str, folders)), indent=1) + "\n"
    # The list is a convenience: a disk that refuses it must not end a conversion with an error.
    with contextlib.suppress(MagistralError):
        write_text_atomically(_folders_file(), text)
