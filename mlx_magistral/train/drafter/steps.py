"""How many steps a training has: found out once, and kept, so that who goes on has the same."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.errors import TrainingError
from mlx_magistral.train.drafter.said import Packs
from mlx_magistral.train.files import write_text
from mlx_magistral.train.state import require_same

PROGRESS_FILE = "progress.json"


@dataclass(frozen=True)
class Progress:
    """``steps`` is None while replies are made, and from then on what the training has."""

    identity: dict[str, Any]
    steps: int | None = None


def read_progress(folder: Path, identity: dict[str, Any]) -> Progress:
    """How far a folder is; raises TrainingError where it is another training's."""
    path = folder / PROGRESS_FILE
    if not path.is_file():
        return Progress(identity)
    try:
        content = json.loads(path.read_text())
        known, steps = dict(content["identity"]), content["steps"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is damaged. Add --restart to begin again.") from error
    require_same(known, identity, folder)
    return Progress(identity, None if steps is None else int(steps))


def write_progress(folder: Path, progress: Progress) -> None:
    """Raises TrainingError."""
    content = {"identity": progress.identity, "steps": progress.steps}
    write_text(folder / PROGRESS_FILE, json.dumps(content, indent=1) + "\n")


def learned_a_pack(packs: Packs) -> float:
    """Ids of replies that a step learns from, in the mean."""
    learned = sum(
        max(0, window.end - max(window.start, window.said.prompt_tokens))
        for pack in packs.all()
        for window in pack
    )
    return max(1.0, learned / packs.packs_an_epoch)
