"""Dataset: the examples to train and to validate on, cut to length, and the check of them."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random

from mlx_magistral.errors import TrainingError
from mlx_magistral.train.example import Example

# Held out where nobody named a validation file.
VALID_SHARE = 0.05
_MOST_VALID = 200
_FEWEST_TO_SPLIT = 20
# Places named of what is doubled or leaked.
_PLACES_SHOWN = 3


@dataclass(frozen=True)
class Dataset:
    """Examples no longer than ``max_tokens``; ``check`` is what was found on the way."""

    train: list[Example]
    valid: list[Example]
    max_tokens: int
    check: "DataCheck"


@dataclass(frozen=True)
class DataCheck:
    """Counts of the data check. Lengths are in ids, before cutting."""

    count: int
    valid_count: int
    median: int
    p95: int
    longest: int
    cut: int
    dropped: int
    target_share: float
    duplicates: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """What to tell, a line each."""
        told = [
            f"Examples to train on: {self.count:,}, to validate on: {self.valid_count:,}; "
            f"median {self.median:,} ids, p95 {self.p95:,}, longest {self.longest:,}; "
            f"{self.target_share:.0%} of the ids carry loss."
        ]
        if self.cut:
            told.append(f"Longer than --max-seq-len, cut at their end: {self.cut:,}.")
        if self.dropped:
            told.append(f"Left out, with nothing to learn before the cut: {self.dropped:,}.")
        if self.duplicates:
            told.append(f"There twice: {len(self.duplicates):,} ({_some(self.duplicates)}).")
        if self.leaks:
            told.append(
                f"Of the validation, asked in training too: {len(self.leaks):,} "
                f"({_some(self.leaks)})."
            )
        return told


def make_dataset(
    train: Iterable[Example],
    valid: Iterable[Example],
    *,
    max_tokens: int,
    seed: int,
    valid_share: float = VALID_SHARE,
    is_strict: bool = False,
) -> Dataset:
    """Cut, split and check; raises TrainingError where nothing is left or strictness asks for it.

    Where there is no example to validate on, ``valid_share`` of the others is held out, drawn by
    ``seed``: copies of one example never stand on both sides.
    """
    learned, held = list(train), list(valid)
    longer = [each for each in (*learned, *held) if len(each) > max_tokens]
    if longer and is_strict:
        first = longer[0]
        raise TrainingError(
            f"{first.place} has {len(first):,} ids and --max-seq-len is {max_tokens:,} "
            f"({len(longer):,} such examples). Raise it, shorten them, or leave --strict out."
        )
    lengths = sorted(map(len, learned))
    kept, kept_valid = _cut(learned, max_tokens), _cut(held, max_tokens)
    if not held:
        kept, kept_valid = _split(kept, valid_share, Random(seed))
    if not kept:
        raise TrainingError(
            "There is no example to train on. Give data, or raise --max-seq-len where all of it "
            "is cut before the first answer."
        )
    check = DataCheck(
        count=len(kept),
        valid_count=len(kept_valid),
        median=int(statistics.median(lengths)),
        p95=lengths[min(len(lengths) - 1, int(0.95 * len(lengths)))],
        longest=lengths[-1],
        cut=len(longer),
        dropped=len(learned) + len(held) - len(kept) - len(kept_valid),
        target_share=sum(each.target_count for each in kept) / sum(map(len, kept)),
        duplicates=_duplicates(kept),
        leaks=_leaks(kept, kept_valid),
    )
    return Dataset(kept, kept_valid, max_tokens, check)


def _cut(examples: Sequence[Example], max_tokens: int) -> list[Example]:
    return [each for each in (whole.cut(max_tokens) for whole in examples) if each.target_count]


def _split(
    examples: list[Example], share: float, random: Random
) -> tuple[list[Example], list[Example]]:
    wanted = min(_MOST_VALID, int(share * len(examples)))
    if len(examples) < _FEWEST_TO_SPLIT or wanted == 0:
        return examples, []
    digests = sorted({each.digest for each in examples})
    random.shuffle(digests)
    held = set(digests[:wanted])
    kept = [each for each in examples if each.digest not in held]
    return kept, [each for each in examples if each.digest in held]


def _duplicates(examples: Sequence[Example]) -> list[str]:
    """Places of examples that stand somewhere before already."""
    seen: set[bytes] = set()
    doubled = []
    for each in examples:
        digest = each.digest
        if digest in seen:
            doubled.append(each.place)
        seen.add(digest)
    return doubled


def _leaks(train: Sequence[Example], valid: Sequence[Example]) -> list[str]:
    """Places of the validation whose first question is trained on too."""
    asked = {each.prompt.tobytes() for each in train if each.spans[0][0] > 1}
    return [each.place for each in valid if each.prompt.tobytes() in asked]


def _some(places: Sequence[str]) -> str:
    more = len(places) - _PLACES_SHOWN
    return ", ".join(places[:_PLACES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
