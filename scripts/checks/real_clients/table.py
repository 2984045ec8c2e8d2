"""The table of clients in the docs: a row each, replaced when the client is checked again."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HEAD = "| client | version | checked | result |\n|---|---|---|---|\n"
_TABLE = re.compile(re.escape(_HEAD) + r"((?:\|.*\n)*)")


@dataclass(frozen=True)
class Row:
    """One client's line."""

    client: str
    version: str
    date: str
    result: str

    def line(self) -> str:
        return f"| {self.client} | {self.version} | {self.date} | {self.result} |\n"


def write_table(path: Path, rows: Sequence[Row], order: Sequence[str]) -> None:
    """Put the rows into the document's table, which has the clients that ``order`` names."""
    text = path.read_text("utf-8")
    found = _TABLE.search(text)
    if found is None:
        raise SystemExit(f"{path} has no table that begins with {_HEAD.splitlines()[0]!r}.")
    lines = {line.split("|")[1].strip(): line for line in found[1].splitlines(keepends=True)}
    lines |= {row.client: row.line() for row in rows}
    table = _HEAD + "".join(lines[name] for name in order if name in lines)
    path.write_text(text.replace(found[0], table), "utf-8")
