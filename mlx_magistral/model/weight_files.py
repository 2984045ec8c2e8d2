"""Which safetensors files of a folder hold its weights, with an index or without."""

from pathlib import Path

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.config import read_json
from mlx_magistral.model.safetensors_header import StoredTensor, read_header

HF_STEM = "model"
NATIVE_STEM = "consolidated"


def has_weights(folder: Path, stem: str) -> bool:
    """Whether the folder has weight files of a stem, or an index of them."""
    return _index(folder, stem).is_file() or any(folder.glob(f"{stem}*.safetensors"))


def read_headers(folder: Path, stem: str) -> list[StoredTensor]:
    """Every tensor of the folder's files of a stem, checked.

    Raises CheckpointError for a damaged file, and for an index that names a file or a tensor that
    is not there, or leaves out one that is.
    """
    index = _index(folder, stem)
    if not index.is_file():
        files = sorted(folder.glob(f"{stem}*.safetensors"))
        return [tensor for file in files for tensor in read_header(file).values()]
    places = _weight_map(index)
    tensors: list[StoredTensor] = []
    for name in sorted(set(places.values())):
        if not (folder / name).is_file():
            raise CheckpointError(f"{index} names {name}, which is not there. Fetch that file.")
        tensors += read_header(folder / name).values()
    stored = {(tensor.name, tensor.file.name) for tensor in tensors}
    astray = [name for name, file in places.items() if (name, file) not in stored]
    if astray:
        raise CheckpointError(
            f"{index} places {astray[0]} in {places[astray[0]]}, which does not hold it "
            f"({len(astray)} such tensors). Fetch index and files from the same repository."
        )
    unlisted = [tensor for tensor in tensors if tensor.name not in places]
    if unlisted:
        raise CheckpointError(
            f"{unlisted[0].file} holds {unlisted[0].name}, which {index.name} leaves out "
            f"({len(unlisted)} such tensors). Fetch index and files from the same repository."
        )
    return tensors


def _index(folder: Path, stem: str) -> Path:
    return folder / f"{stem}.safetensors.index.json"


def _weight_map(index: Path) -> dict[str, str]:
    """Tensor name -> file name in the index's own folder."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(
        isinstance(file, str) and Path(file).name == file for file in places.values()
    ):
        raise CheckpointError(f"{index} has no weight_map of file names. Fetch the file again.")
    return places
