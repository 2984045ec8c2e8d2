"""What a pass of several rows costs on this machine: measured once, kept on disk.

Measured on the reply's own cache: rows are appended, timed and trimmed off again, so it stands for
the context at hand and takes no memory but, at times, the next step of the cache's room. One file a
model shape, KV format and machine; in it a curve for each fourfold of context. Decisions made from
a file are the same in every run.
"""

import hashlib
import json
import math
import os
import platform
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from mlx_magistral.decode.speculation.gate import MOST_DRAFTED, Costs
from mlx_magistral.memory.prefixes.disk import FOLDER_VARIABLE

ROWS = (1, 2, 3, 4, 6, MOST_DRAFTED + 1)
# Measured one after the other, where text is being copied and the one before it paid.
LONG_ROWS = (12, 16, 24, 32, 48)
_FORMAT = 1
_REPEATS = 5
_MOST_SECONDS = 1.5
_SMALLEST_BUCKET = 1024


class PassCosts:
    """The curves of one model, by context; ``None`` instead of a folder keeps nothing on disk."""

    def __init__(self, fingerprint: str, folder: Path | None) -> None:
        self._file = None if folder is None else folder / f"{fingerprint}.json"
        self._curves = _read(self._file)

    def known(self, context_tokens: int) -> Costs | None:
        """The curve for this much context, if it was measured."""
        return self._curves.get(bucket(context_tokens))

    def measure(self, model: Any, cache: Sequence[Any]) -> Costs:
        """Time passes on a cache, whose tokens stay as they were.

        Takes about 1.5 s, or two rounds of all ROWS where those take longer.
        """
        context = cache[0].offset
        costs = measure_costs(model, cache)
        self._curves[bucket(context)] = costs
        self._write()
        return costs

    def measure_rows(self, model: Any, cache: Sequence[Any], rows: int) -> Costs:
        """Add a pass of so many rows to the curve of a cache: two of them, the second timed."""
        context = bucket(cache[0].offset)
        known = self._curves[context].seconds
        seconds = 0.0
        for _ in range(2):
            seconds = _timed_pass(model, cache, [1] * rows)
        least = max(each for count, each in known.items() if count < rows)
        self._curves[context] = Costs({**known, rows: max(seconds, least)})
        self._write()
        return self._curves[context]

    def _write(self) -> None:
        if self._file is None:
            return
        curves = {str(each): dict(costs.seconds) for each, costs in self._curves.items()}
        draft = self._file.with_name(f"{self._file.name}.{os.getpid()}.draft")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("w") as file:
                json.dump({"format": _FORMAT, "curves": curves}, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._file)
        except OSError:
            # A folder that cannot be written costs a measurement a run and nothing else.
            with suppress(OSError):
                draft.unlink()


def measure_costs(model: Any, cache: Sequence[Any], token: int = 1) -> Costs:
    """Median seconds of passes of each of ROWS, interleaved; drops what it appended."""
    seconds: dict[int, list[float]] = {rows: [] for rows in ROWS}
    began = time.perf_counter()
    for repeat in range(_REPEATS + 1):
        for rows in ROWS:
            taken = _timed_pass(model, cache, [token] * rows)
            if repeat:  # the first of each shape may compile kernels
                seconds[rows].append(taken)
        if repeat and time.perf_counter() - began > _MOST_SECONDS:
            break
    medians = {rows: statistics.median(each) for rows, each in seconds.items()}
    # More rows never take less: what says so is noise.
    rising: dict[int, float] = {}
    for rows in ROWS:
        rising[rows] = max(medians[rows], *rising.values(), 0.0)
    return Costs(rising)


def _timed_pass(model: Any, cache: Sequence[Any], tokens: list[int]) -> float:
    """Seconds of a pass whose rows are dropped again."""
    started = time.perf_counter()
    mx.eval(model(mx.array([tokens]), cache)[:, :, :1])
    taken = time.perf_counter() - started
    for layer in cache:
        layer.trim(len(tokens))
    return taken


def guess_seconds(model: Any, cache: list[Any]) -> float:
    """What a pass of one row of something that guesses costs here, measured once a machine."""
    costs = PassCosts(fingerprint(model, cache), costs_folder())
    known = costs.known(1)
    if known is None:
        # With something in the cache: what is timed is a reply under way.
        mx.eval(model(mx.array([[1] * 8]), cache))
        known = costs.measure(model, cache)
    return known(1)


def bucket(context_tokens: int) -> int:
    """The upper end of the fourfold that holds this context: 1024, 4096, 16384, …"""
    steps = math.ceil(math.log(max(context_tokens, 1) / _SMALLEST_BUCKET, 4))
    return int(_SMALLEST_BUCKET * 4 ** max(0, steps))


def fingerprint(model: Any, cache: Sequence[Any]) -> str:
    """Names what the cost of a pass depends on: shapes and formats, MLX, and the machine."""
    digest = hashlib.sha256(f"{type(cache[0]).__name__}{getattr(cache[0], 'bits', 16)}".encode())
    weights: Any = tree_flatten(model.parameters())
    for name, array in weights:
        digest.update(f"{name}{array.shape}{array.dtype}".encode())
    machine = [mx.__version__, mx.default_device(), platform.node(), os.cpu_count()]  # type: ignore[attr-defined]
    digest.update(repr(machine).encode())
    return digest.hexdigest()[:32]


def costs_folder() -> Path:
    """Where curves are kept: beside the prefix cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).with_name(f"{Path(named).name}-pass-costs")
    return Path.home() / ".cache" / "mlx-magistral" / "pass-costs"


def _read(file: Path | None) -> dict[int, Costs]:
    try:
        content = {} if file is None else json.loads(file.read_text())
        if content.get("format") != _FORMAT:
            return {}
        curves = {
            int(context): Costs({int(rows): float(s) for rows, s in seconds.items()})
            for context, seconds in content["curves"].items()
        }
        return {each: costs for each, costs in curves.items() if _is_whole(costs)}
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def _is_whole(costs: Costs) -> bool:
    rows = set(costs.seconds)
    return set(ROWS) <= rows <= {*ROWS, *LONG_ROWS} and all(s > 0 for s in costs.seconds.values())
