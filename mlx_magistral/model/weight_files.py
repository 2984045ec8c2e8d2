"""Which safetensors files of a model hold its weights, with an index or without.

An index is a hint: what counts is what the files' own headers hold, as in mlx-lm, which reads no
index at all. A model's files are seen through ModelFiles, so that one that is still at the hub is
checked as one on this disk is.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Protocol

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.config_fields import read_json
from mlx_magistral.model.names import is_skipped
from mlx_magistral.model.safetensors_header import StoredTensor, read_header

HF_STEM = "model"
NATIVE_STEM = "consolidated"


class ModelFiles(Protocol):
    """The files of a model by name, relative to ``folder``, where they are or will be."""

    @property
    def folder(self) -> Path:
        """The model's folder, which need not be there yet."""

    @property
    def label(self) -> str:
        """What the model is called in errors: its folder, or its name at the hub."""

    def weights(self, stem: str) -> list[str]:
        """Names of the weight files of a stem at the top level, sorted."""

    def has(self, name: str) -> bool:
        """Whether there is such a file; a name that leads out of the folder is none."""

    def read(self, name: str) -> Path:
        """A small file's place on this disk."""

    def header(self, name: str) -> dict[str, StoredTensor]:
        """The tensors of a weight file. Raises CheckpointError where it is damaged."""


class FolderFiles:
    """A folder on this disk; each header is read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.label = str(folder)
        self._headers: dict[str, dict[str, StoredTensor]] = {}

    def weights(self, stem: str) -> list[str]:
        """See ModelFiles. macOS's ``._`` files beside them do not begin with a stem."""
        return sorted(path.name for path in self.folder.glob(f"{stem}*.safetensors"))

    def has(self, name: str) -> bool:
        """See ModelFiles."""
        return is_inside(name) and (self.folder / name).exists()

    def read(self, name: str) -> Path:
        """See ModelFiles."""
        return self.folder / name

    def header(self, name: str) -> dict[str, StoredTensor]:
        """See ModelFiles."""
        if name not in self._headers:
            self._headers[name] = read_header(self.folder / name)
        return self._headers[name]


def is_inside(name: str) -> bool:
    """Whether a file name of an index stays in the folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def has_weights(folder: Path, stem: str) -> bool:
    """Whether the folder has weight files of a stem, or an index of them."""
    return (folder / index_name(stem)).is_file() or any(folder.glob(f"{stem}*.safetensors"))


def other_weights(names: Iterable[str]) -> str:
    """A sentence on weights in a form that is not read, and what to do with them; else nothing."""
    for name in sorted(names):
        if name.lower().endswith(".gguf"):
            return f" It has {name}: convert that file with `mlx-magistral convert FILE OUTPUT`."
        if name.endswith((".bin", ".pth", ".pt")):
            return f" It has {name}: save it as safetensors, which transformers does by itself."
    return ""


def index_name(stem: str) -> str:
    """The file that says which tensor is in which file of a stem."""
    return f"{stem}.safetensors.index.json"


def weight_sets(files: ModelFiles, stem: str) -> Iterator[list[str]]:
    """Sets of files that may be a model's weights, the likeliest first.

    A whole file alone, as transformers takes it before any index; those that the index names; and
    all there are, as mlx-lm takes them.
    """
    found = files.weights(stem)
    sets = [[name for name in found if name == f"{stem}.safetensors"]]
    sets.append([name for name in named_by_index(files, stem) if files.has(name)])
    sets.append(found)
    seen: list[list[str]] = []
    for each in sets:
        if each and each not in seen:
            seen.append(each)
            yield each


def named_by_index(files: ModelFiles, stem: str) -> list[str]:
    """The files that the index places tensors of the text model in; none without an index."""
    if not files.has(index_name(stem)):
        return []
    try:
        places = read_json(files.read(index_name(stem))).get("weight_map")
    except CheckpointError:
        return []
    return names_in(places)


def names_in(weight_map: object) -> list[str]:
    """The files of an index's ``weight_map`` that hold tensors of the text model."""
    if not isinstance(weight_map, dict):
        return []
    return sorted(
        {
            file
            for tensor, file in weight_map.items()
            if isinstance(file, str) and not is_skipped(str(tensor))
        }
    )
