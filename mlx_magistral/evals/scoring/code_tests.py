"""The tests of a code problem: what goes in, and what has to come out."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CodeTest:
    """What is read and printed; of a function, its arguments as JSON lines, and its result."""

    input: str
    output: str


@dataclass(frozen=True)
class CodeTests:
    """``function`` is None for programs that read standard input, else the name to call."""

    cases: tuple[CodeTest, ...]
    function: str | None = None
