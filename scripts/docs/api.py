#!/usr/bin/env python3
"""Write docs/api.md from the docstrings of what the package exports.

scripts/docs/api.py            write the page
scripts/docs/api.py --check    exit 1 where the page is not what the docstrings say
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx_magistral
from mlx_magistral import errors, events

PAGE = Path(__file__).parents[2] / "docs" / "api.md"

_HEAD = """\
# Python API

Made by `scripts/docs/api.py` from the docstrings; edit those.
"""


def render() -> str:
    """The page's text."""
    parts = [_HEAD]
    for name in mlx_magistral.__all__:
        if not name.startswith("__"):
            parts += _describe(name, getattr(mlx_magistral, name), level=2)
    parts.append("## Events\n\nWhat a stream yields, from `mlx_magistral.events`.\n")
    parts += [part for name, each in _classes(events) for part in _describe(name, each, level=3)]
    parts.append("## Errors\n")
    parts.append(f"```text\n{inspect.cleandoc(errors.__doc__ or '')}\n```\n")
    return "\n".join(parts)


def _classes(module: Any) -> Iterator[tuple[str, type]]:
    for name, value in vars(module).items():
        if inspect.isclass(value) and value.__module__ == module.__name__ and name[0] != "_":
            yield name, value


def _describe(name: str, value: Any, level: int) -> Iterator[str]:
    yield f"{'#' * level} {name}\n"
    yield from _doc(value)
    if not inspect.isclass(value):
        yield f"```text\n{name}{inspect.signature(value)}\n```\n"
        return
    for member, function in vars(value).items():
        raw = function.__func__ if isinstance(function, classmethod) else function
        if member.startswith("_") or not (inspect.isfunction(raw) or isinstance(raw, property)):
            continue
        shown = "" if isinstance(raw, property) else _signature(raw)
        yield f"**`{name}.{member}{shown}`**\n"
        yield from _doc(raw)


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    named = [each for name, each in signature.parameters.items() if name not in ("self", "cls")]
    return str(signature.replace(parameters=named))


def _doc(value: Any) -> Iterator[str]:
    text = inspect.cleandoc(value.__doc__ or "")
    if text:
        yield text.replace("``", "`") + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.is_file() and PAGE.read_text("utf-8") == render() else 1)
    PAGE.write_text(render(), "utf-8")
