"""From a model's name to a folder on this disk: ``nano``, a folder, its short name, or a hub id.

Downloads go through huggingface_hub into its own cache and take one weight format only: the
original repository holds the same 47 GB twice.
"""

import os
import re
from difflib import get_close_matches
from pathlib import Path

from mlx_magistral.errors import HubError, ModelNotFoundError
from mlx_magistral.hub.cache import cached_models, find_snapshot, is_begun
from mlx_magistral.hub.known_folders import NANO as NANO
from mlx_magistral.hub.known_folders import is_model_folder, short_names
from mlx_magistral.hub.known_folders import nano_folder as nano_folder
from mlx_magistral.settings import read_settings

MODEL_VARIABLE = "MLX_MAGISTRAL_MODEL"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def default_model() -> str:
    """The model when none is named: the environment's, else the one set by ``use``, else nano.

    Raises SettingsError where the settings file is broken.
    """
    return os.environ.get(MODEL_VARIABLE) or str(read_settings().get("model") or NANO)


def resolve_model(model: str | Path) -> Path:
    """Return the folder that holds ``model``, downloading it when it is a hub id not yet here.

    Of any architecture, as a draft model may have: what is to be run goes through ``examine``.
    Raises ModelNotFoundError where the name is none of the three, HubError where the download
    fails.
    """
    folder = find_local(model)
    if folder is None:
        from mlx_magistral.hub.download import download
        from mlx_magistral.hub.files import files_to_download
        from mlx_magistral.hub.repository import inspect_repository

        repository = inspect_repository(str(model))
        names = files_to_download([file.name for file in repository.files])
        folder = download(repository.only(names))
    return folder


def is_gguf(path: Path) -> bool:
    """Whether a path names a llama.cpp file: by its suffix, or by how it begins.

    ollama keeps such files under a hash, without a suffix.
    """
    if path.suffix.lower() == ".gguf":
        return not path.is_dir()
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def is_hub_id(name: str) -> bool:
    """Whether the name has the form OWNER/NAME."""
    return _HUB_ID.fullmatch(name) is not None


def model_names() -> list[str]:
    """What is on this disk, by the names that ``list`` shows and every command takes."""
    return [NANO, *(name for name, _ in cached_models()), *short_names()]


def named_folder(model: str | Path) -> Path | None:
    """The folder that a path or a remembered folder's short name leads to; None for another name.

    A model folder at that path comes first, then the short name, then a folder that is no model.
    """
    folder = Path(model).expanduser()
    if folder.is_dir() and is_model_folder(folder):
        return folder
    return short_names().get(str(model)) or (folder if folder.is_dir() else None)


def find_local(model: str | Path) -> Path | None:
    """The folder that holds ``model``; None for a hub id that would have to be downloaded."""
    if model == NANO:
        return nano_folder()
    found = named_folder(model)
    if found is not None:
        return found
    name, folder = str(model), Path(model).expanduser()
    if is_gguf(folder):
        if not folder.exists():
            raise ModelNotFoundError(f"There is no file {name}. Check the path.")
        raise ModelNotFoundError(
            f"{name} is a GGUF file, which has to be converted once: mlx-magistral convert {name} "
            f"{folder.stem}-4bit --bits 4"
        )
    if folder.exists():
        raise ModelNotFoundError(
            f"{name} is a file, and a model is a folder. Name the folder that holds it."
        )
    if not is_hub_id(name):
        close = get_close_matches(name, model_names(), 1)
        advice = f"Did you mean {close[0]}?" if close else 'Or use "nano", the embedded model.'
        raise ModelNotFoundError(
            f"There is no folder {name}, `mlx-magistral list` has no such name, and it is not a "
            f"hub id such as mistralai/Magistral-Small-2507. {advice}"
        )
    return find_snapshot(name)


def require_local(model: str | Path) -> Path:
    """As find_local; raises HubError with the next step for a hub id that is not here whole."""
    folder = find_local(model)
    if folder is not None:
        return folder
    if is_begun(str(model)):
        raise HubError(
            f"{model} is here only in part. Go on with the download: mlx-magistral pull {model}"
        )
    raise HubError(f"{model} is not on this disk. Run: mlx-magistral pull {model}")
