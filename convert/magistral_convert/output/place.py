"""Whether a folder can be written under a name: asked before a source is downloaded or read."""

import json
import os
from pathlib import Path
from typing import Any

from mlx_magistral.errors import ConversionError, UsageError

from .manifest import MANIFEST_FILE, read_manifest

PARTIAL_SUFFIX = ".partial"


def output_place(name: str | Path) -> Path:
    """The folder that a command line names, ``~`` resolved; raises UsageError where it cannot be.

    Raises ConversionError for a link that leads nowhere and a place that cannot be written.
    """
    output = Path(name).expanduser()
    if output.name in ("", "..") or not str(name):
        raise UsageError(f"OUTPUT is {str(name)!r}, which is no name for a folder. Name one.")
    if output.is_symlink() and not output.exists():
        raise ConversionError(
            f"{output} is a link to {os.readlink(output)}, which is not there. Name that folder, "
            "or remove the link."
        )
    above = output.parent
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ConversionError(f"{above} cannot be written. Choose another output folder.")
    return output


def require_free(output: Path, recipe: dict[str, Any]) -> bool:
    """Raise ConversionError where the folder is there; whether it is this recipe's own leftover.

    That is what a run leaves which was killed just after it had named its output.
    """
    if not output.exists():
        return False
    if not _is_leftover(output, recipe):
        raise ConversionError(f"{output} exists already. Choose another name or remove it first.")
    return True


def _is_leftover(output: Path, recipe: dict[str, Any]) -> bool:
    partial = output.with_name(output.name + PARTIAL_SUFFIX)
    if not partial.exists() or (partial / "model").exists():
        return False
    if not (output / MANIFEST_FILE).exists():
        return False
    written: dict[str, Any] = read_manifest(output).recipe
    # The overrides of an automatic mix are found on the way; a tuple comes back as a list.
    wanted = json.loads(json.dumps(recipe))
    return {**written, "overrides": None} == {**wanted, "overrides": None}
