"""Git-lfs pointers: 130 bytes of text that stand in a clone where a file was not fetched."""

from pathlib import Path

_FIRST_BYTES = b"version https://git-lfs.github.com/spec/"


def is_lfs_pointer(first_bytes: bytes) -> bool:
    """Whether a file that begins so is a pointer instead of the file itself."""
    return first_bytes.startswith(_FIRST_BYTES)


def lfs_advice(file: Path) -> str:
    """What to tell of a file that is a pointer."""
    return (
        f"{file} is a git-lfs pointer, not the file itself. Run `git lfs pull` in {file.parent}, "
        "or download the repository with `mlx-magistral pull`."
    )
