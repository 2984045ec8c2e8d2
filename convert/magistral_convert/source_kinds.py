"""Which kind of model a name or path holds, by content."""

from pathlib import Path

from mlx_magistral.hub import resolve_model

from .gguf_source import GgufSource
from .safetensors_source import SafetensorsSource
from .source import Source

_GGUF_SUFFIX = ".gguf"


def resolve_source(name: str) -> Source:
    """Open what a command line names: a folder, a hub id, ``nano`` or a GGUF file."""
    if name.endswith(_GGUF_SUFFIX) and Path(name).expanduser().is_file():
        return GgufSource(Path(name).expanduser())
    return open_source(resolve_model(name))


def open_source(path: Path) -> Source:
    """Open a native, HF or MLX folder, or a GGUF file, for conversion.

    Raises CheckpointError naming what is missing or damaged.
    """
    return GgufSource(path) if path.suffix == _GGUF_SUFFIX else SafetensorsSource(path)
