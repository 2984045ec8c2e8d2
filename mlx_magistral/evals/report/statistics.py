"""Error bars: how far a figure could be off, and whether two differ.

Two questions, two intervals. How would other problems of this kind come out: resample the problems
(Efron's bootstrap). How would these problems come out once more: the spread between samples of one
problem. The first contains the second.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Draws of a bootstrap or a sign-flip test, seeded: the same data gives the same bar.
_DRAWS = 10_000
_SEED = 0
# Up to so many differing problems every pattern of signs is tried.
_EXACT = 14
_CHUNK = 2_000_000  # numbers held at once
# Of a normal distribution: 95 % two-sided, and 80 % power.
_Z_CONFIDENCE, _Z_POWER = 1.959964, 0.841621


class Interval(NamedTuple):
    """The middle 95 %."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2


def mean_interval(values: Sequence[float]) -> Interval:
    """Of the mean, if the values are a draw of many: bootstrap over them."""
    data = np.asarray(values, dtype=np.float64)
    if len(data) == 1 or data.min() == data.max():
        return _all_alike(data)
    draws = np.random.default_rng(_SEED)
    rows = max(1, min(_DRAWS, _CHUNK // len(data)))
    means: list[float] = []
    while len(means) < _DRAWS:
        chosen = draws.integers(0, len(data), (min(rows, _DRAWS - len(means)), len(data)))
        means.extend(data[chosen].mean(axis=1).tolist())
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(low), float(high))


def rerun_half_width(rights: Sequence[Sequence[bool]]) -> float | None:
    """Half of the 95 % interval of the mean over these problems, each with its samples' outcomes.

    None where a problem has one sample only: nothing then says how much a re-run varies.
    """
    variance = 0.0
    for outcomes in rights:
        n = len(outcomes)
        if n < 2:
            return None
        share = sum(outcomes) / n
        variance += share * (1 - share) / (n - 1)
    return _Z_CONFIDENCE * math.sqrt(variance) / max(len(rights), 1)


def sign_flip_p(differences: Sequence[float]) -> float:
    """How likely a mean difference this large is if neither side were better.

    Flips the sign of each problem's difference: all patterns where few problems differ, 10,000
    draws otherwise. With one sample a problem it is McNemar's exact test.
    """
    moved = np.asarray([each for each in differences if each != 0], dtype=np.float64)
    if not len(moved):
        return 1.0
    observed = abs(moved.sum()) - 1e-12
    if len(moved) <= _EXACT:
        patterns = np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1
        return float((np.abs((patterns * 2 - 1) @ moved) >= observed).mean())
    draws = np.random.default_rng(_SEED)
    as_far, rows = 0, max(1, min(_DRAWS, _CHUNK // len(moved)))
    for start in range(0, _DRAWS, rows):
        signs = draws.integers(0, 2, (min(rows, _DRAWS - start), len(moved))) * 2 - 1
        as_far += int((np.abs(signs @ moved) >= observed).sum())
    return (as_far + 1) / (_DRAWS + 1)


def problems_needed(differences: Sequence[float], points: float) -> int | None:
    """Problems that show a difference of ``points`` (0.02 is two points) 4 times of 5, at 95 %.

    From the spread between problems that was seen; None where there was none.
    """
    if len(differences) < 2:
        return None
    spread = float(np.std(np.asarray(differences, dtype=np.float64), ddof=1))
    return math.ceil(((_Z_CONFIDENCE + _Z_POWER) * spread / points) ** 2) if spread else None


def quantile(values: Sequence[float], share: float) -> float:
    """0 of nothing."""
    return float(np.quantile(values, share)) if len(values) else 0.0


def _all_alike(data: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Interval:
    """Where every value is the same, resampling sees no spread: the rule of three bounds it."""
    value, bound = float(data[0]), 1 - 0.025 ** (1 / len(data))
    if value == 1.0:
        return Interval(1 - bound, 1.0)
    if value == 0.0:
        return Interval(0.0, bound)
    return Interval(value, value)
