"""From a model's name to a folder on this disk: ``nano``, a folder, or a hub id.

Downloads go through huggingface_hub into its own cache and take one weight format only: the
original repository holds the same 47 GB twice.
"""

import os
import re
from pathlib import Path

from mlx_magistral.errors import HubError, ModelNotFoundError
from mlx_magistral.hub.cache import find_snapshot, is_begun
from mlx_magistral.settings import read_settings

NANO = "nano"
MODEL_VARIABLE = "MLX_MAGISTRAL_MODEL"

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def nano_folder() -> Path:
    """The embedded model's folder inside this package."""
    return Path(__file__).parents[1] / NANO


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


def find_local(model: str | Path) -> Path | None:
    """The folder that holds ``model``; None for a hub id that would have to be downloaded."""
    if model == NANO:
        return nano_folder()
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    name = str(model)
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
        raise ModelNotFoundError(
            f"There is no folder {name}, and it is not a hub id such as "
            'mistralai/Magistral-Small-2507 either. Check the path, or use "nano", the embedded '
            "model."
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
