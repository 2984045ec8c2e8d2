"""The final measurement: per task, language and system prompt, on problems never trained or tuned on."""

import json
from pathlib import Path
from typing import Any

from nano_data.batches import MIX
from nano_data.chat import Encoder
from nano_data.evaluation import VIEWS, Case, accuracy, cases_of, run_cases
from nano_data.model import Nano

KINDS = [*VIEWS, *(kind for kind in MIX if kind != "tools")]
THRESHOLD = 0.95
_NOTES = {
    "split": "A problem's key is its task and operands, whatever its language and wording (sums and products"
    " in either order are one problem). sha256 of the key modulo 20: 0-17 train, 18 tune, 19 test. All figures"
    " are of the test split. The split is per task: the operands of a held-out sum may have been those of a"
    " word problem.",
    "right": "Greedy decoding, weights rounded to bfloat16 as shipped, float32 arithmetic. Right means that the"
    " thinking was closed and everything after it, up to </s>, is exactly the expected answer or tool call.",
    "advertised": f"At least {THRESHOLD:.0%} right both with the official system prompt and without any;"
    " one sample in five of both has a system text of the user's own.",
}


def evaluate(model: Nano, encoder: Encoder, split: str, count: int, seed: int) -> dict[str, Any]:
    """Half of the problems of a task in English, a quarter each in French and Spanish."""
    tasks: dict[str, Any] = {}
    for kind in KINDS:
        figures: dict[str, Any] = {"advertised": True}
        for official, name in ((True, "with_system_prompt"), (False, "without_system_prompt")):
            figures[name] = _measure(model, encoder, kind, split, count, seed, official)
            figures["advertised"] &= figures[name]["accuracy"] >= THRESHOLD
        tasks[kind] = figures
        print(_line(kind, figures), flush=True)
    return {"notes": _NOTES, "split": split, "evaluation_seed": seed, "tasks": tasks}


def write(result: dict[str, Any], training: dict[str, str], model: Nano, path: Path) -> None:
    """evaluation.json: the model's size and training beside the figures."""
    facts = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "training": {key: float(value) for key, value in training.items() if key != "format"},
    }
    text = json.dumps({**facts, **result}, indent=2, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _measure(
    model: Nano, encoder: Encoder, kind: str, split: str, count: int, seed: int, official: bool
) -> dict[str, Any]:
    languages = (
        {"en": count}
        if kind.startswith("what_is")
        else {"en": count // 2, "fr": count // 4, "es": count // 4}
    )
    cases: dict[str, list[Case]] = {
        language: cases_of(
            encoder, kind, split, number, seed + official, official=official, language=language
        )
        for language, number in languages.items()
    }
    outcomes = {language: run_cases(model, encoder, part) for language, part in cases.items()}
    together = [outcome for part in outcomes.values() for outcome in part]
    return {
        "n": len(together),
        "correct": sum(outcome.is_right for outcome in together),
        "accuracy": round(accuracy(together), 4),
        "thinking_exact": round(sum(o.is_same for o in together) / len(together), 4),
        "languages": {language: round(accuracy(part), 4) for language, part in outcomes.items()},
    }


def _line(kind: str, figures: dict[str, Any]) -> str:
    shown, hidden = figures["with_system_prompt"], figures["without_system_prompt"]
    mark = "" if figures["advertised"] else "  (not advertised)"
    return (
        f"{kind:20} {shown['accuracy']:7.2%} with system prompt {shown['languages']}"
        f"  {hidden['accuracy']:7.2%} without {hidden['languages']}  n = {shown['n']} + {hidden['n']}{mark}"
    )
