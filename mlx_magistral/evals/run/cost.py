"""What a run will cost, before it begins: replies, tokens, and hours on this machine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlx_magistral.evals.run.order import Planned
from mlx_magistral.evals.run.runner import Questioning
from mlx_magistral.evals.run.sample import Sample
from mlx_magistral.evals.tasks.problem import Task
from mlx_magistral.terminal.times import duration

# Replies of a task that say what the others come to.
_ENOUGH = 8


@dataclass(frozen=True)
class Cost:
    """``tokens`` is an expectation; ``tokens_per_s`` was measured, all replies at once."""

    replies: int
    tokens: int
    tokens_per_s: float

    @property
    def seconds(self) -> float:
        return self.tokens / self.tokens_per_s

    def line(self) -> str:
        """96 replies of about 9,000 tokens at 41 tok/s: about 5:51:13."""
        each = self.tokens / max(self.replies, 1)
        return (
            f"{self.replies:,} replies of about {each:,.0f} tokens at {self.tokens_per_s:,.0f} "
            f"tok/s: about {duration(self.seconds)}"
        )


def expected_tokens(
    tasks: Mapping[str, Task], questioning: Questioning, earlier: Iterable[Sample]
) -> dict[str, float]:
    """Tokens of a reply by task: the mean of what this run has seen, else the task's own guess."""
    seen: dict[str, list[int]] = {}
    for sample in earlier:
        tokens = sample.thinking_tokens + sample.answer_tokens
        seen.setdefault(sample.task, []).append(tokens)
    expected = {}
    for name, task in tasks.items():
        found = seen.get(name, [])
        guess: float = task.expected_tokens
        budget = questioning.recipe.think_budget
        if budget is not None:
            guess = min(guess, budget + guess / 8)
        guess = min(guess, questioning.drawings[name].max_tokens)
        expected[name] = sum(found) / len(found) if len(found) >= _ENOUGH else guess
    return expected


def run_cost(
    planned: Sequence[Planned], expected: Mapping[str, float], tokens_per_s: float
) -> Cost:
    """Of the samples that are still to be made."""
    tokens = sum(expected[each.task] for each in planned)
    return Cost(len(planned), round(tokens), tokens_per_s)
