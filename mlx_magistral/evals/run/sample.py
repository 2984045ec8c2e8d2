"""Sample: one reply of a run with its verdict, as a line of samples.jsonl."""

from dataclasses import asdict, dataclass
from typing import Any

from mlx_magistral.errors import RunError
from mlx_magistral.evals.scoring.verdict import Outcome


@dataclass(frozen=True)
class Sample:
    """One line. ``expected`` is what was right as this sample was asked.

    ``parsed`` is what was read from the answer and ``vote`` it in a form that counts alike in all
    samples; ``finish_reason`` and ``limit`` are a reply's (events.py); ``seconds`` go from its
    first token to its last, beside whatever ran with it.
    """

    task: str
    problem: str
    sample: int
    seed: int
    prompt_sha256: str
    prompt_tokens: int
    thinking_tokens: int
    answer_tokens: int
    thinking: str | None
    answer: str | None
    finish_reason: str
    limit: str | None
    expected: str
    parsed: str | None
    vote: str | None
    verdict: Outcome
    note: str
    seconds: float
    group: str = ""

    @property
    def key(self) -> tuple[str, str, int]:
        """Names it within its run."""
        return self.task, self.problem, self.sample

    @property
    def is_right(self) -> bool:
        return self.verdict is Outcome.RIGHT

    def to_json(self) -> dict[str, Any]:
        """The line's values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Sample":
        """The inverse of ``to_json``; raises RunError where it is something else."""
        try:
            return cls(**{**record, "verdict": Outcome(record["verdict"])})
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"samples.jsonl has a line that is no sample ({error}).") from error
