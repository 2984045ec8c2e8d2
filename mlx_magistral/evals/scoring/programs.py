"""Programs judged by their tests: the last fenced block, run for each test, its output compared."""

import json
import re
from decimal import Decimal, InvalidOperation

from mlx_magistral.evals.sandbox.sandbox import Sandbox
from mlx_magistral.evals.sandbox.supervise import Ending, Ran
from mlx_magistral.evals.scoring.code_tests import CodeTest, CodeTests
from mlx_magistral.evals.scoring.verdict import Outcome, Verdict, unparsed

_FENCE = re.compile(r"^\s*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n`]*$", re.MULTILINE)
_PYTHON = ("", "python", "python3", "py", "python2")
_SHOWN = 60


def last_program(answer: str) -> str | None:
    """The last closed block that is Python's or nobody's; None where there is none."""
    programs: list[str] = []
    opened: re.Match[str] | None = None
    for mark in _FENCE.finditer(answer):
        if opened is None:
            opened = mark
        elif mark[1].startswith(opened[1]) and not mark[2]:
            if opened[2].lower() in _PYTHON:
                programs.append(answer[opened.end() + 1 : mark.start()])
            opened = None
    return programs[-1] if programs else None


def judge_program(answer: str, tests: CodeTests, sandbox: Sandbox) -> Verdict:
    """Right where every test passes; the first that does not ends it and is named."""
    program = last_program(answer)
    if program is None:
        return unparsed("no closed code block")
    for number, test in enumerate(tests.cases, 1):
        ran = sandbox.run(program, test.input, tests.function)
        problem = _problem(ran, test, is_function=tests.function is not None)
        if problem is not None:
            note = f"test {number} of {len(tests.cases)}: {problem}"
            return Verdict(Outcome.WRONG, note=note)
    return Verdict(Outcome.RIGHT, note=f"{len(tests.cases)} tests")


def same_output(printed: str, wanted: str) -> bool:
    """Line by line without blanks around; lines of numbers by value, exactly."""
    ours, theirs = (text.strip().split("\n") for text in (printed, wanted))
    return len(ours) == len(theirs) and all(
        a.strip() == b.strip() or _same_numbers(a, b) for a, b in zip(ours, theirs, strict=True)
    )


def same_result(printed: str, wanted: str) -> bool:
    """The JSON that a function gave and the one that it should."""
    try:
        # Of what was printed the last line is the result.
        found = json.loads(printed.strip().rpartition("\n")[2])
        return bool(found == json.loads(wanted))
    except (ValueError, RecursionError):
        return False


def _problem(ran: Ran, test: CodeTest, *, is_function: bool) -> str | None:
    if ran.ending is not Ending.EXITED:
        limit = {Ending.TIME: "time", Ending.OUTPUT: "output", Ending.MEMORY: "memory"}
        return f"over the {limit[ran.ending]} limit"
    if ran.code != 0:
        last = ran.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return f"it fails ({last[:_SHOWN] or f'exit code {ran.code}'})"
    printed = ran.stdout.decode("utf-8", "replace")
    same = same_result if is_function else same_output
    return None if same(printed, test.output) else f"it says {_shown(printed)}"


def _same_numbers(a: str, b: str) -> bool:
    try:
        return [Decimal(word) for word in a.split()] == [Decimal(word) for word in b.split()]
    except InvalidOperation:
        return False


def _shown(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
