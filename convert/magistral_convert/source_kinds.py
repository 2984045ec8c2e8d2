"""Which kind of model a path holds, by content."""

from pathlib import Path

from .safetensors_source import SafetensorsSource
from .source import Source


def open_source(path: Path) -> Source:
    """Open a native, HF or MLX folder for conversion.

    Raises CheckpointError naming what is missing or damaged.
    """
    return SafetensorsSource(path)
