"""Which kind of model a name or path holds, by content."""

from pathlib import Path

from mlx_magistral.errors import ConversionError
from mlx_magistral.hub.resolve import is_gguf, resolve_model
from mlx_magistral.model.checkpoint import open_checkpoint

from .gguf import GgufSource
from .safetensors import SafetensorsSource
from .source import Source


def resolve_source(name: str) -> Source:
    """Open what a command line names: a folder, a hub id, ``nano`` or a GGUF file.

    Raises ConversionError for a GGUF file that is not there, else what opening raises.
    """
    path = Path(name).expanduser()
    if not is_one_file(path):
        return open_source(resolve_model(name))
    if not path.is_file():
        raise ConversionError(f"There is no file {path}. Give the path of a GGUF file.")
    return open_source(path)


def is_one_file(path: Path) -> bool:
    """Whether a path names a model that is one file, there or not, rather than a folder."""
    return is_gguf(path)


def open_source(path: Path) -> Source:
    """Open a native, HF or MLX folder, or a GGUF file, for conversion.

    Raises CheckpointError naming what is missing or damaged.
    """
    return GgufSource(path) if is_gguf(path) else SafetensorsSource(open_checkpoint(path))
