"""Rows of the check as a Markdown table: what does the same stands together."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_AFFINE = re.compile(r"affine, (\d) bits, groups of (\d+)")


@dataclass(frozen=True)
class Row:
    """A layout, who wrote it, what it does here, and whether that is as it should be."""

    tool: str
    layout: str
    outcome: str
    is_right: bool


def table(rows: list[Row]) -> Iterator[str]:
    """A line for the layouts that a tool writes, in the same versions, and that do the same."""
    versions: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        name, version = row.tool.rsplit(" ", 1)
        versions.setdefault((name, row.layout, row.outcome), []).append(version)
    layouts: dict[tuple[str, str], list[str]] = {}
    for (name, layout, outcome), found in versions.items():
        layouts.setdefault((f"{name} {', '.join(found)}", outcome), []).append(layout)
    yield "| written by | layout | here |"
    yield "|---|---|---|"
    for (tool, outcome), names in layouts.items():
        yield f"| {tool} | {'; '.join(_shortened(names))} | {outcome} |"


def _shortened(layouts: list[str]) -> list[str]:
    """Layouts that differ in a number or a type as one."""
    widths = [found.groups() for name in layouts if (found := _AFFINE.fullmatch(name))]
    types = [name.removeprefix("type ") for name in layouts if re.fullmatch(r"type \w+", name)]
    recipes = [name.removeprefix("recipe ") for name in layouts if name.startswith("recipe ")]
    others = [
        name
        for name in layouts
        if not (_AFFINE.fullmatch(name) or re.fullmatch(r"type \w+", name) or "recipe " in name)
    ]
    if widths:
        bits, groups = (sorted({pair[at] for pair in widths}, key=int) for at in (0, 1))
        others.append(f"affine, {', '.join(bits)} bits, in groups of {', '.join(groups)}")
    if recipes:
        others.append(f"recipes {', '.join(name for name in recipes if ',' not in name)}")
        if with_groups := [name for name in recipes if "," in name]:
            others.append(f"the same with --q-group-size 32 ({len(with_groups)})")
    if types:
        others.append(f"types {', '.join(types)}")
    return others
