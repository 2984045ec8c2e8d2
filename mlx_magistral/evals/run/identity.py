"""What a run measures and on what: the record that its folder is known by."""

import hashlib
import json
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.evals.run.protocol import Recipe
from mlx_magistral.evals.tasks.problem import Task
from mlx_magistral.hub.resolve import resolve_model
from mlx_magistral.hub.tokenizer_source import find_tokenizer
from mlx_magistral.memory.prefixes.fingerprint import weights_fingerprint
from mlx_magistral.model.checkpoint import open_checkpoint
from mlx_magistral.version import __version__


def run_identity(
    model: Magistral, tokenizer: Path | None, tasks: Sequence[Task], recipe: Recipe
) -> dict[str, Any]:
    """Model, data and recipe, with only JSON types; the same command gives the same."""
    folder = resolve_model(model.name)
    checkpoint = open_checkpoint(folder)
    tekken = tokenizer or find_tokenizer(folder)
    manifest = folder / "conversion.json"
    conversion = json.loads(manifest.read_bytes()) if manifest.is_file() else {}
    described = {
        "name": model.name,
        "weights": weights_fingerprint(checkpoint),
        "conversion": conversion.get("recipe"),
        "tekken": hashlib.sha256(Path(tekken).read_bytes()).hexdigest(),
        "adapter": None if model.adapter is None else model.adapter.fingerprint,
        "kv_bits": model.memory.plan.kv_bits,
        "context_tokens": model.context_tokens,
    }
    return {
        "model": described,
        "tasks": {task.name: dict(task.source) for task in tasks},
        "recipe": recipe.identity(),
    }


def session_facts(width: int) -> dict[str, Any]:
    """When, where and with which versions a session works on a run."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "version": __version__,
        "mlx": version("mlx"),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "width": width,
    }
