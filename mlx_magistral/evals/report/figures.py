"""Figures: what the samples of one task come to."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlx_magistral.evals.report.statistics import (
    Interval,
    mean_interval,
    quantile,
    rerun_half_width,
)
from mlx_magistral.evals.run.protocol import CARD_ROW
from mlx_magistral.evals.run.sample import Sample
from mlx_magistral.evals.scoring.verdict import Outcome
from mlx_magistral.events import Limit

# A tie between votes is decided by a coin, and counts as the share of right ones in it.
Votes = Counter[str]


@dataclass(frozen=True)
class Spread:
    """Of a count over all samples."""

    median: float
    p95: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(quantile(values, 0.5), quantile(values, 0.95))


@dataclass(frozen=True)
class TaskFigures:
    """``interval`` is for problems like these, ``rerun`` (+-) for these once more.

    Shares are of all samples: cut by max_tokens, by the thinking budget, by the loop guard.
    ``majority`` is maj@n over problems that have ``samples_each`` samples, None where votes cannot
    be counted.
    """

    task: str
    problems: int
    samples: int
    samples_each: int
    pass_at_1: float
    interval: Interval
    rerun: float | None
    majority: float | None
    majority_problems: int
    thinking_tokens: Spread
    answer_tokens: Spread
    seconds: Spread
    cut_by_length: float
    cut_by_budget: float
    cut_by_loop: float
    unparsed: tuple[tuple[str, int, str], ...]
    groups: Mapping[str, tuple[int, float]]

    @property
    def card(self) -> float | None:
        """The model card's pass@1 for this task, in percent."""
        return CARD_ROW.get(self.task)

    def to_json(self) -> dict[str, Any]:
        """With only JSON types; shares from 0 to 1."""
        values = {
            name: getattr(self, name)
            for name in (
                *("task", "problems", "samples", "samples_each", "pass_at_1", "rerun"),
                *("majority", "majority_problems", "cut_by_length", "cut_by_budget", "cut_by_loop"),
            )
        }
        spreads = {
            name: {"median": getattr(self, name).median, "p95": getattr(self, name).p95}
            for name in ("thinking_tokens", "answer_tokens", "seconds")
        }
        listed = [
            {"problem": problem, "sample": sample, "note": note}
            for problem, sample, note in self.unparsed
        ]
        groups = {name: {"samples": n, "right": share} for name, (n, share) in self.groups.items()}
        return {
            **values,
            "interval": list(self.interval),
            **spreads,
            "unparsed": listed,
            "groups": groups,
            "card": None if self.card is None else self.card / 100,
        }


def task_figures(samples: Iterable[Sample]) -> list[TaskFigures]:
    """A row for each task, in the order in which they appear by name."""
    by_task: dict[str, list[Sample]] = {}
    for sample in samples:
        by_task.setdefault(sample.task, []).append(sample)
    return [_figures(task, found) for task, found in sorted(by_task.items())]


def by_problem(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """The samples of each problem of one task, in their own order."""
    found: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda each: each.sample):
        found.setdefault(sample.problem, []).append(sample)
    return found


def mean_right(samples: Sequence[Sample]) -> float:
    """The share of right ones."""
    return sum(sample.is_right for sample in samples) / len(samples)


def majority_right(samples: Sequence[Sample]) -> float:
    """Whether the most frequent answer is right; of a tie, the share that is. No votes is wrong."""
    votes = Counter(sample.vote for sample in samples if sample.vote is not None)
    if not votes:
        return 0.0
    most = max(votes.values())
    right = {sample.vote for sample in samples if sample.is_right}
    leading = [vote for vote, count in votes.items() if count == most]
    return sum(vote in right for vote in leading) / len(leading)


def _figures(task: str, samples: list[Sample]) -> TaskFigures:
    problems = by_problem(samples)
    means = [mean_right(found) for found in problems.values()]
    most = max(len(found) for found in problems.values())
    whole = [found for found in problems.values() if len(found) == most]
    can_vote = any(sample.vote is not None for sample in samples)
    return TaskFigures(
        task=task,
        problems=len(problems),
        samples=len(samples),
        samples_each=most,
        pass_at_1=sum(means) / len(means),
        interval=mean_interval(means),
        rerun=rerun_half_width(
            [[sample.is_right for sample in found] for found in problems.values()]
        ),
        majority=sum(map(majority_right, whole)) / len(whole) if can_vote and most > 1 else None,
        majority_problems=len(whole),
        thinking_tokens=Spread.of([sample.thinking_tokens for sample in samples]),
        answer_tokens=Spread.of([sample.answer_tokens for sample in samples]),
        seconds=Spread.of([sample.seconds for sample in samples]),
        cut_by_length=_share(samples, Limit.MAX_TOKENS),
        cut_by_budget=_share(samples, Limit.THINK_BUDGET),
        cut_by_loop=_share(samples, Limit.LOOP),
        unparsed=tuple(
            (sample.problem, sample.sample, sample.note)
            for sample in samples
            if sample.verdict is Outcome.UNPARSED
        ),
        groups=_groups(samples),
    )


def _share(samples: Sequence[Sample], limit: Limit) -> float:
    return sum(sample.limit == limit.value for sample in samples) / len(samples)


def _groups(samples: Sequence[Sample]) -> dict[str, tuple[int, float]]:
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.group:
            found.setdefault(sample.group, []).append(sample)
    return {name: (len(each), mean_right(each)) for name, each in sorted(found.items())}
