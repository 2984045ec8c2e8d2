"""The final measurement: per task, language and system prompt, on the test split."""

import json
from pathlib import Path
from typing import Any

from nano_data.batches import MIX
from nano_data.chat import Encoder
from nano_data.evaluation import accuracy, cases_of, run_cases
from nano_data.model import Nano


def evaluate(model: Nano, encoder: Encoder, split: str, count: int, seed: int) -> dict[str, Any]:
    """To be replaced."""
    tasks: dict[str, Any] = {}
    for kind in MIX:
        cases = cases_of(encoder, kind, split, count, seed, official=True, language=None)
        tasks[kind] = accuracy(run_cases(model, encoder, cases))
        print(kind, tasks[kind], flush=True)
    return tasks


def as_table(result: dict[str, Any]) -> str:
    """One line a task."""
    return json.dumps(result, indent=2)


def write(result: dict[str, Any], path: Path) -> None:
    """evaluation.json."""
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
