#!/usr/bin/env python3
"""Both tables of docs/converting.md, measured again: what each recipe keeps of two models.

Each case is measured in a process of its own and kept in --work; what was killed goes on, and what
was measured with the same converter is not measured again. --write puts the tables into the page.

    scripts/bench/tables.py [--work FOLDER] [--only NAME ...] [--prompts 192] [--write]
"""

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nano_bits
import peers_quality
import quality
from cases import plain_case

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
_PAGE = _ROOT / "docs" / "converting.md"
# Processor seconds on one core of an AMD EPYC, for the time told before the start; the texts that
# SmolLM2 writes first take about 400 more and the importance of their tokens 250, once.
_SECONDS = {"quality": 700, "peers": 2500, "nano": 400}
_QUICK = ("plain", "search", "convert")
_QUICK_SHARE = 0.1
# What these say comes before the work and changes nothing of it.
_ONLY_FORETOLD = ("estimate.py", "memory.py")

Row = dict[str, Any]


class _Case(NamedTuple):
    """One row: which script measures it, and by which name it is known there."""

    script: str
    name: str

    @property
    def key(self) -> str:
        return f"{self.script} {self.name}"

    @property
    def seconds(self) -> float:
        is_quick = self.name.startswith(_QUICK)
        return _SECONDS[self.script] * (_QUICK_SHARE if is_quick else 1)


_FILES = {"quality": "quality.py", "peers": "peers_quality.py", "nano": "nano_bits.py"}
_CASES = [
    *(_Case("quality", name) for name in quality.CASES),
    *(_Case("peers", name) for name in peers_quality.CASES),
    *(_Case("nano", name) for name in nano_bits.CASES),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/quality"))
    parser.add_argument("--only", nargs="+", help="such as calibrated-4, nano or 'quality plain-4'")
    quality.add_prompts_option(parser)
    parser.add_argument("--write", action="store_true", help="put the tables into the page")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    results = _Results(options.work / f"results-{options.prompts}.json")
    wanted = [
        case
        for case in _CASES
        if options.only is None or {case.script, case.name, case.key} & set(options.only)
    ]
    missing = [case for case in wanted if results.row(case) is None]
    seconds = sum(case.seconds for case in missing)
    print(
        f"{len(wanted)} rows, {len(wanted) - len(missing)} of them measured already; the others "
        f"take about {seconds / 3600:.1f} hours of one core.",
        file=sys.stderr,
    )
    for number, case in enumerate(missing, start=1):
        print(f"{number}/{len(missing)} {case.key}", file=sys.stderr, flush=True)
        results.keep(case, _measured(case, options.work, options.prompts))
    tables = {"recipes": _recipes(results.row), "nano": _nano(results.row)}
    for name, table in tables.items():
        print(table, end="\n\n")
        if options.write and table.count("\n") > 1:  # a head and its line are no measured row
            _write(name, table)


class _Results:
    """Rows by case, each with the hash of the converter that it was measured with."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, Row] = json.loads(path.read_text()) if path.exists() else {}
        self._code = _code_hash()

    def row(self, case: _Case) -> Row | None:
        """What was measured with the converter as it is; mlx-lm's own have nothing of it."""
        row = self._rows.get(case.key)
        is_fresh = row is not None and (case.script == "peers" or row["code"] == self._code)
        return row if is_fresh else None

    def keep(self, case: _Case, row: Row) -> None:
        """Write it down at once."""
        commit = ["git", "-C", str(_ROOT), "rev-parse", "--short", "HEAD"]
        found = subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip()
        self._rows[case.key] = {**row, "code": self._code, "commit": found}
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self._rows, indent=1))
        partial.replace(self._path)


def _code_hash() -> str:
    """Of the code that decides what is written into a tensor and how that is compared."""
    digest = hashlib.sha256()
    package = _ROOT / "convert" / "magistral_convert"
    paths = [package / "compare.py"]
    for folder in ("calibration", "rounding"):
        paths += sorted((package / folder).glob("*.py"))
    for path in paths:
        if path.name not in _ONLY_FORETOLD:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _measured(case: _Case, work: Path, prompts: int) -> Row:
    command = [sys.executable, str(_HERE / _FILES[case.script]), "--cases", case.name, "--json"]
    if case.script != "nano":
        command += ["--work", str(work), "--prompts", str(prompts)]
    found = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    row: Row = json.loads(found.splitlines()[-1])["cases"][case.name]
    return row


def _recipes(row_of: Callable[[_Case], Row | None]) -> str:
    lines = [
        "| recipe | bits a weight | MB | KL | of plain | KL on answers | same likeliest token |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in _CASES:
        row = row_of(case)
        if case.script == "nano" or row is None:
            continue
        bits = (
            case.name if case.script == "quality" else "plain-" + (case.name + "-4").split("-")[1]
        )
        plain = row_of(_Case("quality", plain_case(bits if "-" in bits else "plain-4")))
        ratio = f"{row['KL mean'] / plain['KL mean']:.2f}" if plain else ""
        answers = row.get("by kind", {}).get("answers", {}).get("KL mean", "")
        lines.append(
            f"| {_label(case)} | {row['bits a weight']:.2f} | {row.get('MB', '')} | "
            f"{row['KL mean']:.3g} | {ratio} | {answers} | {row['top-1 agreement']:.1%} |"
        )
    return "\n".join(lines)


def _label(case: _Case) -> str:
    if case.script == "peers":
        name, _, bits = case.name.partition("-")
        return f"`mlx_lm.convert -q`, {bits} bits" if bits else f"`mlx_lm.quant.{name}`, 4 bits"
    method, bits, *mix = case.name.split("-")
    if "." in bits:
        return f"{method}, `--mix auto --bits-per-weight {bits}`"
    return f"{method}, {bits} bits" + (f", `--mix {mix[0]}`" if mix else "")


def _nano(row_of: Callable[[_Case], Row | None]) -> str:
    lines = ["| recipe | bits a weight | right answers |", "|---|---|---|"]
    for case in _CASES:
        row = row_of(case)
        if case.script == "nano" and row is not None:
            label = "not quantized" if case.name == "plain-16" else _label(case)
            lines.append(f"| {label} | {row['bits a weight']:.2f} | {row['mean']:.1%} |")
    return "\n".join(lines)


def _write(name: str, table: str) -> None:
    """Put a table between its marks, <!-- NAME --> and <!-- end of NAME -->."""
    begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
    page = _PAGE.read_text()
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    assert tail, f"{_PAGE} has no marks for {name}"
    _PAGE.write_text(head + begin + table + end + tail)


if __name__ == "__main__":
    main()
