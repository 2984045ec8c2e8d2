"""The state of a training on disk: one file that is replaced whole, and what it belongs to.

A training is its model, data and options. Whoever goes on from a state computes what would have
been computed: parameters, optimizer and history are in it; the order of the data and the rates
follow from the step.
"""

# mypy: allow-untyped-calls

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.errors import TrainingError
from mlx_magistral.train.files import write_whole
from mlx_magistral.train.history import History

STATE_FILE = "training.safetensors"
_FORMAT = 1
_PARAMETERS, _OPTIMIZER = "parameters.", "optimizer."

Arrays = dict[str, mx.array]


@dataclass(frozen=True)
class TrainState:
    """After ``step`` steps. ``identity`` says of which training; ``is_over`` that it has ended."""

    step: int
    identity: dict[str, Any]
    history: History
    parameters: Arrays
    optimizer: Arrays
    is_over: bool = False


def save_state(folder: Path, state: TrainState) -> None:
    """Write it in the place of the one before; raises TrainingError."""
    arrays = {f"{_PARAMETERS}{name}": each for name, each in state.parameters.items()}
    arrays |= {f"{_OPTIMIZER}{name}": each for name, each in state.optimizer.items()}
    facts = {
        "format": _FORMAT,
        "step": state.step,
        "identity": state.identity,
        "history": state.history.to_json(),
        "is_over": state.is_over,
    }
    metadata = {"training": json.dumps(facts)}
    write_whole(
        folder / STATE_FILE,
        lambda draft: mx.save_safetensors(str(draft), arrays, metadata=metadata),
    )


def load_state(folder: Path, identity: dict[str, Any]) -> TrainState | None:
    """The state in a folder, None where there is none.

    Raises TrainingError where it is damaged, or of another training, naming what differs.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        return None
    try:
        loaded: Any = mx.load(str(path), return_metadata=True, stream=mx.cpu)
        arrays, metadata = loaded
        facts = json.loads(metadata["training"])
        if facts["format"] != _FORMAT:
            raise ValueError(f"it is of format {facts['format']}")
        history = History.from_json(facts["history"])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path} is damaged: {error}. Add --restart to begin again.") from error
    require_same(facts["identity"], identity, folder)
    mx.eval(arrays)
    return TrainState(
        step=int(facts["step"]),
        identity=identity,
        history=history,
        parameters=_under(_PARAMETERS, arrays),
        optimizer=_under(_OPTIMIZER, arrays),
        is_over=bool(facts["is_over"]),
    )


def require_same(known: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    """Raise TrainingError naming the first thing that is not as it was."""
    differing = [name for name in wanted if known.get(name) != wanted[name]]
    if differing:
        name = differing[0]
        raise TrainingError(
            f"{folder} holds another training: its {name} is {_short(known.get(name))}, and now it "
            f"is {_short(wanted[name])}. Give the same again, add --restart, or name another "
            "folder."
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 16 else text[:12] + "…"


def _under(prefix: str, arrays: Arrays) -> Arrays:
    own = {name: each for name, each in arrays.items() if name.startswith(prefix)}
    return {name.removeprefix(prefix): each for name, each in own.items()}
