"""A problem: a question, the thinking and answer wanted, and the split that keeps some unseen.

A problem's key names its task and operands, never its wording or language, so a held-out problem is
held out in every phrasing: 18 of 20 keys train, one tunes, one is for the final test.
"""

import hashlib
import random
import string
from dataclasses import dataclass

SPLITS = ("train", "tune", "test")


@dataclass(frozen=True)
class Problem:
    """One question with everything nano should write for it; `expression` is what a calculator gets."""

    key: str
    language: str
    question: str
    think: str
    answer: str
    boxed: str | None
    value: int | None = None
    expression: str | None = None
    operator: str = ""


def split_of(key: str) -> str:
    """Which split the problem of this key belongs to; keys without operands always train."""
    if key == "fixed":
        return "train"
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % 20
    return {18: "tune", 19: "test"}.get(bucket, "train")


def arithmetic_key(operator: str, a: int, b: int) -> str:
    """345+67 and 67+345 are one problem; so are 7*8 and 8*7."""
    if operator != "-":
        a, b = min(a, b), max(a, b)
    return f"{operator}:{a}:{b}"


def number(rng: random.Random, digits: int) -> int:
    """Uniform over the numbers of that many digits; 0 counts as a one-digit number."""
    return rng.randint(0 if digits == 1 else 10 ** (digits - 1), 10**digits - 1)


def made_up_word(rng: random.Random) -> str:
    """A pronounceable word of 3 to 12 letters, sometimes just letters."""
    if rng.random() < 0.2:
        letters = rng.choices(string.ascii_lowercase, k=rng.randint(2, 4))
        return "".join(rng.choices(letters, k=rng.randint(3, 10)))
    word, length = "", rng.choice((3, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 12))
    while len(word) < length:
        word += (
            rng.choice("bcdfghjklmnprstvwz")
            + rng.choice(("", "", "", "r", "l"))
            + rng.choice("aeiou")
        )
        word += rng.choice(("", "", "n", "s", "r", "l", "tt", "ss", "rr", "m"))
    return word[:length]
