"""What a prompt may continue from, against the definition: passes that both prompts have."""

import random

import pytest

from mlx_magistral.memory.prefixes.match import Wanted, common_length, packed
from mlx_magistral.memory.prefixes.passes import PromptMarks, pass_ends

MARKS = PromptMarks(frozenset({18}), 3, frozenset({4}))
CHUNK = 5


def ends(tokens: list[int]) -> list[int]:
    return pass_ends(len(tokens), CHUNK, MARKS.cuts(tokens))


@pytest.mark.parametrize("seed", range(20))
def test_exact_length_is_of_passes_that_both_have(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(200):
        first = [draw.choice((3, 4, 18, 50, 51)) for _ in range(draw.randrange(1, 30))]
        other = first[: draw.randrange(len(first) + 1)]
        other += [draw.choice((3, 4, 18, 50, 51)) for _ in range(draw.randrange(1, 20))]
        kept = first[: draw.choice([0, *ends(first)])]
        if not kept:
            continue
        passes, others = [[0, *ends(each)] for each in (kept, other)]
        alike = [
            end
            for end in passes[1:]
            if end < len(other)
            and first[:end] == other[:end]
            and [each for each in passes if each <= end] == [each for each in others if each <= end]
        ]
        known = Wanted(packed(other), ends(other)[:-1]).length(packed(kept))
        assert known <= max(alike, default=0)
        # All of it where the prompt goes on from everything that was kept.
        if kept == other[: len(kept)] and len(kept) in others[:-1]:
            assert known == len(kept)


def test_without_ends_all_common_ids_but_the_last() -> None:
    assert Wanted(packed([1, 2, 3])).length(packed([1, 2, 3, 4])) == 2
    assert Wanted(packed([1, 2, 3])).length(packed([1, 2])) == 2
    assert Wanted(packed([])).length(packed([1])) == 0


@pytest.mark.parametrize(
    ("a", "b"),
    [([], [1]), ([1], [1]), ([1], [2]), ([1, 2, 3], [1, 2]), ([1, 2, 3, 4], [1, 2, 9, 4])],
)
def test_common_length(a: list[int], b: list[int]) -> None:
    expected = 0
    while expected < min(len(a), len(b)) and a[expected] == b[expected]:
        expected += 1
    assert common_length(a, b) == common_length(b, a) == expected
