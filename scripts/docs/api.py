#!/usr/bin/env python3
"""Write docs/api.md from the source of what the package exports: signatures, fields, docstrings.

scripts/docs/api.py            write the page
scripts/docs/api.py --check    exit 1 where the page is not what the source says

Everything is read from the source and nothing from evaluated types, which print differently in each
version of Python.
"""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import mlx_magistral
from mlx_magistral import errors, events
from mlx_magistral.batching.many import BatchProgress
from mlx_magistral.engine import magistral, parsing, planning
from mlx_magistral.engine.asynchronous import AsyncReplyStream
from mlx_magistral.engine.reply_options import ReplyOptions
from mlx_magistral.engine.streaming import ReplyStream
from mlx_magistral.errors import MagistralError
from mlx_magistral.mcp.servers import McpServers, McpTool
from mlx_magistral.text.tokenizer import Tokenizer

PAGE = Path(__file__).parents[2] / "docs" / "api.md"

_HEAD = """\
# Python API

Made by `scripts/docs/api.py` from the source; edit the docstrings there.

`from mlx_magistral import Magistral` gives all of it: [Magistral](#magistral) makes replies, the
keywords are [ReplyOptions](#replyoptions), a reply is a [Reply](#reply) made of
[events](#events), and whatever cannot be is one of the [errors](#errors).
"""
# Names that stand for types in signatures, and the modules that say what they are.
_TYPES = {"Messages": planning, "Prompt": planning, "Schema": parsing, "Tools": magistral}
# Public for other floors of the house, not for callers.
_INTERNAL = ("of", "begin", "guidance", "pass_costs", "ask")
# Classes that callers make themselves.
_MADE = ("McpServers", "ReasoningParser")
_WAYS = [ReplyStream, AsyncReplyStream, BatchProgress, McpServers, McpTool]


def render() -> str:
    """The page's text."""
    parts = [_HEAD, *_describe("Magistral", mlx_magistral.Magistral, level=2), *_types()]
    parts += _describe("ReplyOptions", ReplyOptions, level=2)
    for each in _WAYS:
        parts += _describe(each.__name__, each, level=2)
    parts.append("## Events\n\nWhat a stream yields and a reply is, in `mlx_magistral.events`.\n")
    for name, each in _classes(events):
        parts += _describe(name, each, level=3)
    parts.append("## One floor lower\n")
    for name in mlx_magistral.__all__:
        if name not in ("Magistral", "McpServers", "Reply", "ReplyOptions", "__version__"):
            parts += _describe(name, getattr(mlx_magistral, name), level=3)
    parts += _describe("Tokenizer", Tokenizer, level=3)
    parts.append("## Errors\n\nIn `mlx_magistral.errors`.\n")
    parts.append(f"```text\n{inspect.cleandoc(errors.__doc__ or '')}\n```\n")
    for name, each in _classes(errors):
        parts += _error(name, each)
    return "\n".join(parts)


def _classes(module: Any) -> Iterator[tuple[str, type]]:
    for name, value in vars(module).items():
        if inspect.isclass(value) and value.__module__ == module.__name__ and name[0] != "_":
            yield name, value


def _describe(name: str, value: Any, level: int) -> Iterator[str]:
    yield f"{'#' * level} {name}\n"
    yield from _doc(value)
    if not inspect.isclass(value):
        yield f"```text\n{_signature(name, _definition(value))}\n```\n"
        return
    if name in _MADE:
        made = next(each for each in _definition(value).body if _name(each) == "__init__")
        yield f"```text\n{_signature(name, made).removesuffix(' -> None')}\n```\n"
    members = _members(value)
    is_enum = issubclass(value, Enum)
    rows = [_row(each, about, is_enum) for each, about in _fields(members)]
    yield from _table(["value"] if is_enum else ["field", "type", "default"], rows)
    for node in members:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_shown(node):
            is_property = any(_is_named(each, "property") for each in node.decorator_list)
            if is_property:
                kind = "" if node.returns is None else f": {_unquoted(ast.unparse(node.returns))}"
                yield f"**`{name}.{node.name}{kind}`**\n"
            else:
                yield f"```text\n{_signature(f'{name}.{node.name}', node)}\n```\n"
            yield from _paragraphs(ast.get_docstring(node))


def _error(name: str, error: type[MagistralError]) -> Iterator[str]:
    yield f"### {name}\n"
    (base,) = error.__bases__
    yield f"Under `{base.__name__}`; exit code {error.exit_code}.\n"
    yield from _doc(error)
    own = [each for each in _members(error) if isinstance(each, ast.FunctionDef)]
    attributes = {
        node.attr
        for method in own
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    if attributes:
        yield "Has " + ", ".join(f"`{each}`" for each in sorted(attributes)) + ".\n"


def _types() -> Iterator[str]:
    yield "Types in these signatures:\n"
    rows: list[list[str]] = []
    for name, module in _TYPES.items():
        found = re.search(rf"^{name} = (.+)$", inspect.getsource(module), re.MULTILINE)
        assert found is not None
        rows.append([f"`{name}`", f"`{found[1]}`"])
    yield from _table(["name"], rows)


def _members(cls: type) -> list[ast.stmt]:
    """The statements of a class and of our own classes under it; a name counts once.

    What another section tells already is left out: a class of the same module is in it.
    """
    found: dict[str, list[ast.stmt]] = {}
    for each in inspect.getmro(cls):
        is_ours = each.__module__.startswith("mlx_magistral")
        if not is_ours or (each is not cls and each.__module__ == cls.__module__):
            continue
        name = ""
        for node in _definition(each).body:
            name = _name(node) or name
            if _name(node):
                is_seen = name in found or _is_overload(node) or name in _INTERNAL
                if not is_seen:
                    found[name] = [node]
            elif name in found:
                found[name].append(node)  # the text under a field
    return [node for nodes in found.values() for node in nodes]


def _fields(members: list[ast.stmt]) -> Iterator[tuple[ast.stmt, str]]:
    """Each public field, and the text under it."""
    for index, node in enumerate(members):
        if isinstance(node, ast.AnnAssign | ast.Assign) and not _name(node).startswith("_"):
            after = members[index + 1] if index + 1 < len(members) else None
            about = ""
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                about = " ".join(str(after.value.value).split()).replace("``", "`")
            yield node, about


def _row(node: ast.stmt, about: str, is_enum: bool) -> list[str]:
    value = getattr(node, "value", None)
    if is_enum:
        assert isinstance(value, ast.Constant)
        return [f"`{value.value}`", about]
    is_typed = isinstance(node, ast.AnnAssign)
    kind = f"`{_unquoted(ast.unparse(node.annotation))}`" if is_typed else ""
    return [f"`{_name(node)}`", kind, _default(value), about]


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    """As Markdown, without the columns in which nothing stands; the last one has no name."""
    if not rows:
        return
    named = [*head, ""]
    shown = [place for place in range(len(named)) if any(row[place] for row in rows)]
    lines = [[named[place] for place in shown], ["---"] * len(shown)]
    lines += [[row[place].replace("|", "\\|") for place in shown] for row in rows]
    yield "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _default(value: ast.expr | None) -> str:
    if isinstance(value, ast.Call):  # field(default=..., default_factory=...)
        given = {each.arg: each.value for each in value.keywords}
        if "default_factory" in given:
            return f"`{ast.unparse(given['default_factory'])}()`"
        value = given.get("default")
    return "" if value is None else f"`{ast.unparse(value)}`"


def _signature(name: str, node: Any) -> str:
    """A parameter a line where they do not fit into one."""
    arguments = node.args
    own = [each for each in arguments.args if each.arg not in ("self", "cls")]
    defaults = [None] * (len(own) - len(arguments.defaults)) + list(arguments.defaults)
    parts = [_parameter(each, value) for each, value in zip(own, defaults, strict=True)]
    if arguments.kwonlyargs:
        parts.append(f"*{_parameter(arguments.vararg, None)}" if arguments.vararg else "*")
    for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parts.append(_parameter(each, value))
    if arguments.kwarg:
        parts.append(f"**{_parameter(arguments.kwarg, None)}")
    start = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    end = "" if node.returns is None else f" -> {_unquoted(ast.unparse(node.returns))}"
    line = f"{start}{name}({', '.join(parts)}){end}"
    if len(line) <= 90:
        return line
    return "\n".join([f"{start}{name}(", *(f"    {each}," for each in parts), f"){end}"])


def _parameter(node: ast.arg, default: ast.expr | None) -> str:
    kind = "" if node.annotation is None else f": {_unquoted(ast.unparse(node.annotation))}"
    if default is None:
        return node.arg + kind
    value = ast.unparse(default)
    if value.startswith("_"):
        value = repr(getattr(magistral, value))
    return f"{node.arg}{kind} = {value}"


def _unquoted(annotation: str) -> str:
    return annotation.strip("'") if annotation.startswith("'") else annotation


def _definition(value: Any) -> Any:
    tree = ast.parse(textwrap.dedent(inspect.getsource(value)))
    return tree.body[0]


def _name(node: ast.stmt) -> str:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return ""


def _is_overload(node: ast.stmt) -> bool:
    return any(_is_named(each, "overload") for each in getattr(node, "decorator_list", ()))


def _is_shown(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    # Setters and what has no text are not for callers.
    return not node.name.startswith("_") and ast.get_docstring(node) is not None


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _doc(value: Any) -> Iterator[str]:
    yield from _paragraphs(value.__doc__)


def _paragraphs(text: str | None) -> Iterator[str]:
    if text:
        yield inspect.cleandoc(text).replace("``", "`") + "\n"


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.is_file() and PAGE.read_text("utf-8") == render() else 1)
    PAGE.write_text(render(), "utf-8")
