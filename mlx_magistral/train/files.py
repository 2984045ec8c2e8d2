"""Files of a training, written so that a reader finds the old one or the whole new one."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from mlx_magistral.errors import TrainingError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a draft, flush it to the disk, and give it its name.

    Raises TrainingError where the disk takes no more; what had the name before is still there.
    """
    draft = path.with_name(f".draft-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(draft)
        descriptor = os.open(draft, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(draft, path)
    except (OSError, RuntimeError) as error:  # RuntimeError is what mlx raises
        # What mlx raises does not say why: a full disk shows before the draft is gone.
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        with suppress(OSError):
            reason += f" ({shutil.disk_usage(path.parent).free / 1e6:,.1f} MB are free there)"
        with suppress(OSError):
            draft.unlink()
        raise TrainingError(
            f"{path} cannot be written: {reason}. What was saved before is whole; mend that and "
            "give the same command again."
        ) from error


def require_writable(folder: Path) -> None:
    """Make the folder where it is missing and try it, before hours are spent on what goes there.

    Raises TrainingError.
    """
    draft = folder / ".draft"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft.touch()
        draft.unlink()
    except OSError as error:
        raise TrainingError(
            f"{folder} cannot be written: {error.strerror}. Name another folder."
        ) from error


def write_text(path: Path, text: str) -> None:
    """A whole text in UTF-8; raises TrainingError."""
    write_whole(path, lambda draft: draft.write_text(text, "utf-8"))
