"""What a program may use."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """``seconds`` is by the clock, starting left out; the rest is each process's.

    ``memory_bytes`` holds for all of its processes together too, ``folder_bytes`` for its folder
    as a whole where it has one, ``output_bytes`` for what it prints.
    """

    seconds: float = 6.0
    memory_bytes: int = 1 << 30
    file_bytes: int = 16 << 20
    folder_bytes: int = 64 << 20
    output_bytes: int = 16 << 20
    processes: int = 64
    open_files: int = 64
