"""The shipped files: native weights in bfloat16, params.json, the system prompt; all written atomically."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nano_data.chat import SYSTEM_PARTS
from nano_data.model import Nano, NanoConfig

WEIGHTS = "consolidated.safetensors"


def write_weights(model: Nano, folder: Path, training: dict[str, str]) -> None:
    """Only the weights change at a checkpoint; `training` says how far they came, as metadata."""
    tensors = {
        name: parameter.detach().to(torch.bfloat16).contiguous()
        for name, parameter in model.state_dict().items()
    }
    temporary = folder / f".{WEIGHTS}.tmp"
    save_file(tensors, temporary, metadata={"format": "pt", **training})
    # save_file keeps its files to their owner, and these are read by everyone.
    temporary.chmod(0o644)
    os.replace(temporary, folder / WEIGHTS)


def write_settings(config: NanoConfig, folder: Path) -> None:
    """params.json and SYSTEM_PROMPT.txt; the prompt has no newline at its end."""
    first, thought, last = SYSTEM_PARTS
    text = f"{first}[THINK]{thought}[/THINK]{last}"
    (folder / "params.json").write_text(
        json.dumps(asdict(config), indent=2) + "\n", encoding="utf-8"
    )
    (folder / "SYSTEM_PROMPT.txt").write_text(text, encoding="utf-8")


def read_model(folder: Path) -> Nano:
    """The shipped model, its bfloat16 weights widened to float32."""
    config = NanoConfig(**json.loads((folder / "params.json").read_text(encoding="utf-8")))
    model = Nano(config)
    tensors = load_file(folder / WEIGHTS)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    return model.eval()


def read_training(folder: Path) -> dict[str, str]:
    """What write_weights noted: steps, tokens, minutes, seed."""
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        return dict(file.metadata())
