"""What a pass of several rows costs on this machine: measured once, kept on disk.

Measured on the reply's own cache: rows are appended, timed and trimmed off again, so it stands for
the context at hand and takes no memory but, at times, the next step of the cache's room. One file a
model shape, KV format and machine; in it a curve for each band of context: up to 2k, 8k, 32k, 128k
tokens. Past the first a reply is not stopped for it: what the band before says holds until its rows
are measured one after the other. Decisions made from a file are the same in every run.
"""

import hashlib
import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx
from mlx.utils import tree_flatten

from mlx_magistral.decode.speculation.gate import MOST_DRAFTED, Costs
from mlx_magistral.memory.prefixes.disk import FOLDER_VARIABLE

ROWS = (1, 2, 3, 4, 6, MOST_DRAFTED + 1)
# Measured one after the other, where text is being copied and the one before it paid.
LONG_ROWS = (12, 16, 24, 32, 48)
# What ``measure_rows`` takes.
PASSES_A_MEASURE = 3
_FORMAT = 2
_REPEATS = 8
_MOST_SECONDS = 1.5
# Passes in a row without a wait, to know what one takes then.
_IN_A_ROW = 4
_FIRST_BAND = 2048
# Of one pass the usual time over the shortest: past this something else has the machine.
_BUSY = 1.2


class PassCosts:
    """The curves of one model, by context; ``None`` instead of a folder keeps nothing on disk."""

    def __init__(self, fingerprint: str, folder: Path | None) -> None:
        self._file = None if folder is None else folder / f"{fingerprint}.json"
        self._curves = _read(self._file)
        self._known: dict[int, Costs | None] = {}  # by band, what was asked for
        self._unkept: set[int] = set()  # bands that were measured on a busy machine

    def known(self, context_tokens: int) -> Costs | None:
        """The curve for this much context; of what is not measured there, what a smaller one says.

        None before anything is measured.
        """
        place = band(context_tokens)
        if place not in self._known:
            self._known[place] = self._look_up(place)
        return self._known[place]

    def unmeasured(self, context_tokens: int) -> list[int]:
        """Those of ROWS of which only a smaller context tells what they cost."""
        own = self._curves.get(band(context_tokens))
        return [rows for rows in ROWS if own is None or rows not in own.seconds]

    def measure(self, model: Any, cache: Sequence[Any]) -> Costs:
        """Time passes on a cache, whose tokens stay as they were.

        Takes about 1.5 s, or two rounds of all ROWS where those take longer. Not kept on disk where
        something else has the machine.
        """
        place = band(cache[0].offset)
        costs, is_steady = measure_costs(model, cache)
        self._take(place, costs, is_steady)
        return costs

    def measure_rows(self, model: Any, cache: Sequence[Any], rows: int) -> Costs:
        """Add a pass of so many rows to the curve of a cache: three of them, the last two timed."""
        context = cache[0].offset
        place = band(context)
        _timed_pass(model, cache, [1] * rows)
        taken = [_timed_pass(model, cache, [1] * rows) for _ in range(PASSES_A_MEASURE - 1)]
        known, seconds = self.known(context), min(taken)
        assert known is not None
        own = self._curves.get(place, Costs({}, wait_s=known.wait_s))
        if rows == 1:
            seconds -= known.wait_s
        least = max((each for count, each in own.seconds.items() if count < rows), default=0.0)
        costs = replace(own, seconds={**own.seconds, rows: max(seconds, least)})
        self._take(place, costs, max(taken) <= _BUSY * min(taken))
        found = self.known(context)
        assert found is not None
        return found

    def _look_up(self, place: int) -> Costs | None:
        own = self._curves.get(place)
        smaller = [each for each in self._curves if each < place]
        if own is not None and set(ROWS) <= set(own.seconds):
            return own
        if not smaller:
            return None
        before = self._curves[max(smaller)]
        return before if own is None else _with_measured(before, own.seconds)

    def _take(self, place: int, costs: Costs, is_steady: bool) -> None:
        self._curves[place] = costs
        self._known.clear()
        if not is_steady:
            self._unkept.add(place)
        if self._file is not None and place not in self._unkept:
            self._write(self._file)

    def _write(self, path: Path) -> None:
        curves = {
            str(place): {"seconds": dict(costs.seconds), "wait_s": costs.wait_s}
            for place, costs in self._curves.items()
            if place not in self._unkept
        }
        draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("w") as file:
                json.dump({"format": _FORMAT, "curves": curves}, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError:
            # A folder that cannot be written costs a measurement a run and nothing else.
            with suppress(OSError):
                draft.unlink()


class Measured(NamedTuple):
    """What passes cost, and whether nothing else had the machine meanwhile."""

    costs: Costs
    is_steady: bool


def measure_costs(model: Any, cache: Sequence[Any], token: int = 1) -> Measured:
    """The shortest passes of each of ROWS, interleaved; drops what it appended.

    Whatever else runs only adds to what a pass takes. The one of a single row does not wait for the
    one before it, as in plain decoding.
    """
    seconds: dict[int, list[float]] = {rows: [] for rows in ROWS}
    in_a_row: list[float] = []
    began = time.perf_counter()
    for repeat in range(_REPEATS + 1):
        for rows in ROWS:
            taken = _timed_pass(model, cache, [token] * rows)
            if repeat:  # the first of each shape may compile kernels
                seconds[rows].append(taken)
        if repeat:
            in_a_row.append(_pass_in_a_row(model, cache, token))
        if repeat and time.perf_counter() - began > _MOST_SECONDS:
            break
    alone = min(seconds[1])
    plain = min(alone, *in_a_row)
    rising = {1: plain}
    for rows in ROWS[1:]:
        # More rows never take less: what says so is noise.
        rising[rows] = max(min(seconds[rows]), *rising.values())
    is_steady = statistics.median(seconds[1]) <= _BUSY * alone
    return Measured(Costs(rising, wait_s=alone - plain), is_steady)


def _timed_pass(model: Any, cache: Sequence[Any], tokens: list[int]) -> float:
    """Seconds of a pass whose ids are read, and whose rows are dropped again."""
    started = time.perf_counter()
    mx.argmax(model(mx.array([tokens]), cache), axis=-1).tolist()
    taken = time.perf_counter() - started
    for layer in cache:
        layer.trim(len(tokens))
    return taken


def _pass_in_a_row(model: Any, cache: Sequence[Any], token: int) -> float:
    """Seconds of a pass of one row that is prepared while the one before it is computed."""
    row = mx.array([[token]])
    started = time.perf_counter()
    for _ in range(_IN_A_ROW):
        row = mx.argmax(model(row, cache)[:, -1:], axis=-1)
        mx.async_eval(row)  # type: ignore[no-untyped-call]
    mx.eval(row)
    taken = time.perf_counter() - started
    for layer in cache:
        layer.trim(_IN_A_ROW)
    return taken / _IN_A_ROW


def _with_measured(before: Costs, own: Mapping[int, float]) -> Costs:
    """A curve with what is measured of another in it.

    The rest is longer by as much as the nearest measured number of fewer rows is.
    """
    seconds: dict[int, float] = {}
    added = 0.0
    for rows, each in sorted(before.seconds.items()):
        if rows in own:
            added = own[rows] - each
        seconds[rows] = max(each + added, *seconds.values(), 0.0)
    longer = {rows: each for rows, each in own.items() if rows not in seconds}
    return replace(before, seconds={**seconds, **longer})


def guess_seconds(model: Any, cache: list[Any]) -> float:
    """What a pass of one row of something that guesses costs here, measured once a machine."""
    costs = PassCosts(fingerprint(model, cache), costs_folder())
    known = costs.known(1)
    if known is None:
        # With something in the cache: what is timed is a reply under way.
        mx.eval(model(mx.array([[1] * 8]), cache))
        known = costs.measure(model, cache)
    return known(1)


def band(context_tokens: int) -> int:
    """The upper end of the fourfold that holds this context: 2048, 8192, 32768, …"""
    place = _FIRST_BAND
    while place < context_tokens:
        place *= 4
    return place


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
            int(context): Costs(
                {int(rows): float(s) for rows, s in curve["seconds"].items()},
                wait_s=float(curve["wait_s"]),
            )
            for context, curve in content["curves"].items()
        }
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}
    known = {place: costs for place, costs in curves.items() if _is_usable(costs)}
    # Without one that is whole nothing says what the rest costs.
    first = min(known, default=0)
    return known if first and set(ROWS) <= set(known[first].seconds) else {}


def _is_usable(costs: Costs) -> bool:
    return (
        set(costs.seconds) <= {*ROWS, *LONG_ROWS}
        and all(s > 0 for s in costs.seconds.values())
        and costs.wait_s >= 0
    )
