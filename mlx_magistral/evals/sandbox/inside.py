"""Runs inside the sandbox, as text given to the interpreter: it must not import this package.

Limits itself, reads from standard input one line of JSON with the program and then the program,
and becomes it. What is left of standard input is the program's. Holds no secret: the program can
read all of this, and what is right is known outside alone.
"""

import json
import os
import resource
import sys
import types

# What judges of such programs import for them; a solution that relies on it is no mistake.
PRELUDE = """
from string import *
from re import *
from datetime import *
from collections import *
from heapq import *
from bisect import *
from copy import *
from math import *
from random import *
from statistics import *
from itertools import *
from functools import *
from operator import *
from io import *
from sys import *
from json import *
from typing import *
from builtins import *
import bisect, collections, copy, datetime, functools, heapq, io, itertools, json, math, operator
import random, re, statistics, string, sys
sys.setrecursionlimit(50_000)
"""
NOBODY = 65534


def limit(wanted: dict[str, int], becomes_nobody: bool) -> None:
    if becomes_nobody and os.getuid() == 0:
        # Limits on processes do not hold for root.
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    for name, value in wanted.items():
        number = getattr(resource, f"RLIMIT_{name}", None)
        if number is not None:
            hard = resource.getrlimit(number)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            try:
                resource.setrlimit(number, (value, value))
            except (ValueError, OSError):
                # A Mac refuses some; whoever starts this watches the memory there.
                pass


def read_exactly(count: int) -> bytes:
    parts = []
    while count:
        part = os.read(0, min(count, 1 << 20))
        if not part:
            sys.exit("the program did not arrive")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def read_line() -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        line += read_exactly(1)
    return line


def call(name: str, module: types.ModuleType, result: object) -> None:
    """Call the function with the arguments on standard input; its result is one line of JSON."""
    arguments = [json.loads(line) for line in sys.stdin.read().split("\n")]
    solution = getattr(module, "Solution", None)
    function = getattr(module if solution is None else solution(), name)
    value = function(*arguments)
    result.write(json.dumps(value) + "\n")  # type: ignore[attr-defined]
    result.flush()  # type: ignore[attr-defined]


def main() -> None:
    limit(json.loads(sys.argv[1]), sys.argv[2] == "nobody")
    header = json.loads(read_line())
    text = read_exactly(header["bytes"]).decode("utf-8", "surrogatepass")
    module = types.ModuleType("__main__")
    exec(compile(PRELUDE, "prelude.py", "exec"), module.__dict__)
    sys.modules["__main__"] = module
    sys.argv = ["main.py"]
    out = sys.stdout
    if header["function"] is not None:
        # What it prints on the way is not its result.
        sys.stdout = sys.stderr
    exec(compile(text, "main.py", "exec"), module.__dict__)
    if header["function"] is not None:
        call(header["function"], module, out)


if __name__ == "__main__":
    main()
