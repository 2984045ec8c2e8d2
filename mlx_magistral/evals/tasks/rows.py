"""Rows of a data file by column: JSON lines, CSV or Parquet, read as they come."""

import csv
import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mlx_magistral.errors import MissingExtraError, RunError

ENDINGS = (".jsonl", ".csv", ".parquet")
# A cell may hold a long problem.
_LONGEST_CELL = 1 << 24

Row = Mapping[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file, by the ending of its name.

    Raises RunError where it cannot be read, MissingExtraError for Parquet without pyarrow.
    """
    try:
        match path.suffix.lower():
            case ".jsonl":
                yield from _json_lines(path)
            case ".csv":
                csv.field_size_limit(_LONGEST_CELL)
                with path.open(encoding="utf-8", newline="") as stream:
                    yield from csv.DictReader(stream)
            case ".parquet":
                yield from _parquet(path)
            case _:
                raise RunError(f"{path} is none of {', '.join(ENDINGS)}.")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path} cannot be read ({error}).") from error


def cell(row: Row, names: tuple[str, ...], path: Path, number: int) -> Any:
    """The value under the first of these names that the row has.

    Raises RunError that names the column, the row and the columns that are there.
    """
    for name in names:
        value = row.get(name)
        if value is not None and value != "":
            return value
    known = ", ".join(str(name) for name in row)
    raise RunError(
        f"{path.name}, row {number}: the column {names[0]!r} is missing or empty; it has {known}."
    )


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield json_row(line, path, number)


def json_row(line: bytes, path: Path, number: int) -> Row:
    """One line of a file of JSON lines; raises RunError."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise RunError(f"{path.name}, row {number} is no JSON ({error}).") from error
    if not isinstance(row, dict):
        raise RunError(f"{path.name}, row {number} is no JSON object.")
    return row


def _parquet(path: Path) -> Iterator[Row]:
    if find_spec("pyarrow") is None:
        raise MissingExtraError("Parquet files", "eval")
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256):
                yield from batch.to_pylist()
    except ArrowException as error:
        raise RunError(f"{path} is no Parquet file ({error}).") from error
