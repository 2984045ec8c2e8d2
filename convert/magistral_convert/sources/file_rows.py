"""A range of bytes from a source file, with the errors of disks that fail or go away."""

from pathlib import Path

from mlx_magistral.errors import ConversionError


def read_range(path: Path, start: int, count: int, what: str) -> bytes:
    """``count`` bytes from ``start``; ``what`` names them in errors. Raises ConversionError."""
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(start)
            data = file.read(count)
    except OSError as error:
        raise ConversionError(
            f"Reading {what} from {path} failed: {error.strerror}. Finished shards are kept; bring "
            "the disk back and run the same command again."
        ) from error
    if data is None or len(data) < count:
        raise ConversionError(
            f"{path} ends inside {what}: it was cut since the conversion began. Fetch it again."
        )
    return data
