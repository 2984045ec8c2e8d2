"""History: the losses of a training so far, which its log, curve and report are made of."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class StepRecord:
    """One step: the mean loss of its learned ids, their count, all ids, and what it took."""

    step: int  # counted from 1
    loss: float
    rate: float
    targets: int
    tokens: int
    seconds: float
    norm: float


@dataclass(frozen=True)
class ValidRecord:
    """The mean loss of the held-out ids after ``step`` steps; of a drafter also the ids that a
    pass with its guesses would give."""

    step: int
    loss: float
    ids_a_pass: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As a line of the log has it."""
        line: dict[str, Any] = {"step": self.step, "valid_loss": self.loss}
        return line if self.ids_a_pass is None else {**line, "ids_a_pass": self.ids_a_pass}


@dataclass
class History:
    """All steps in order; grows as the training goes on."""

    steps: list[StepRecord] = field(default_factory=list)
    valid: list[ValidRecord] = field(default_factory=list)

    @property
    def best(self) -> ValidRecord | None:
        """The first of the lowest validation losses; the untrained model's does not count."""
        trained = [each for each in self.valid if each.step > 0]
        return min(trained, key=lambda each: each.loss, default=None)

    @property
    def rounds_without_better(self) -> int:
        """Validations since the best."""
        best = self.best
        return 0 if best is None else sum(each.step > best.step for each in self.valid)

    @property
    def tokens_per_second(self) -> float:
        """Over the latest steps; the very first one may read the weights."""
        latest = self.steps[1:][-20:] or self.steps
        seconds = sum(each.seconds for each in latest)
        return sum(each.tokens for each in latest) / seconds if seconds else math.nan

    @property
    def seconds_a_step(self) -> float:
        """Over the latest steps."""
        latest = self.steps[1:][-20:] or self.steps
        return sum(each.seconds for each in latest) / len(latest) if latest else math.nan

    def smoothed(self) -> list[tuple[int, float]]:
        """Step and loss, each the mean of about a fiftieth of all steps around it."""
        width = max(1, len(self.steps) // 50)
        return [
            (
                self.steps[min(start + width, len(self.steps)) - 1].step,
                sum(each.loss for each in self.steps[start : start + width])
                / len(self.steps[start : start + width]),
            )
            for start in range(0, len(self.steps), width)
        ]

    def log(self) -> str:
        """A JSON line for each step and each validation, in order."""
        lines: list[tuple[int, int, dict[str, Any]]] = [
            (each.step, 0, asdict(each)) for each in self.steps
        ]
        lines += [(each.step, 1, each.to_json()) for each in self.valid]
        return "".join(
            json.dumps(content) + "\n" for _, _, content in sorted(lines, key=lambda line: line[:2])
        )

    def copy(self) -> "History":
        """One of its own that says the same."""
        return History(list(self.steps), list(self.valid))

    def to_json(self) -> dict[str, Any]:
        """For the state; from_json takes it back."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "History":
        """What to_json gave."""
        return cls(
            [StepRecord(**each) for each in content["steps"]],
            [ValidRecord(**each) for each in content["valid"]],
        )
