"""What passes cost: by context, in spite of a busy machine, and without stopping a reply."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from decode.speculation.replay import Clocked, replay

from mlx_magistral.decode.speculation import pass_costs
from mlx_magistral.decode.speculation.pass_costs import PASSES_A_MEASURE, ROWS, PassCosts, band


class _Layer:
    def __init__(self, offset: int) -> None:
        self.offset = offset

    def trim(self, count: int) -> None:
        self.offset -= count


class Machine:
    """A model whose passes take what ``curve`` says of their rows and the context before them."""

    def __init__(self, curve: Callable[[int, int], float]) -> None:
        self.curve = curve
        self.now = 0.0
        self.passes: list[int] = []

    def __call__(self, tokens: mx.array, cache: list[_Layer]) -> mx.array:
        rows = tokens.shape[1]
        self.passes.append(rows)
        self.now += self.curve(rows, cache[0].offset)
        cache[0].offset += rows
        return mx.zeros((1, rows, 2))


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int, int], float]], Machine]:
    """Makes a machine whose clock is the one that is looked at."""

    def make(curve: Callable[[int, int], float]) -> Machine:
        machine = Machine(curve)
        monkeypatch.setattr(pass_costs.time, "perf_counter", lambda: machine.now)
        return machine

    return make


def steady(rows: int, context: int) -> float:
    return 0.04 * (1 + 0.1 * (rows - 1)) * (1 + context / 40_000)


def _file(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def test_the_context_has_a_curve_of_its_own_from_8k_and_from_32k_tokens_on() -> None:
    places = [1, 2048, 8192, 8193, 32768, 32769, 131072]
    assert [band(each) for each in places] == [2048, 2048, 8192, 32768, 32768, 131072, 131072]


def test_a_curve_is_what_passes_took_and_is_there_in_the_next_run(on: Any, tmp_path: Path) -> None:
    machine, cache = on(steady), [_Layer(100)]
    costs = PassCosts("m", tmp_path).measure(machine, cache)
    assert cache[0].offset == 100 and machine.now < 2.2
    assert {rows: round(costs(rows) / costs(1), 2) for rows in ROWS} == {
        rows: round(1 + 0.1 * (rows - 1), 2) for rows in ROWS
    }
    assert PassCosts("m", tmp_path).known(500) == costs


def test_what_a_busy_machine_took_holds_for_the_run_and_is_measured_again_in_the_next(
    on: Any, tmp_path: Path
) -> None:
    turns = iter(range(10_000))
    machine = on(lambda rows, context: 0.001 * rows * (1 + next(turns) % 3))
    costs = PassCosts("m", tmp_path)
    costs.measure(machine, [_Layer(100)])
    assert costs.known(100) is not None and not _file(tmp_path)
    machine.curve = lambda rows, context: 0.001 * rows
    PassCosts("m", tmp_path).measure(machine, [_Layer(100)])
    assert _file(tmp_path)


def test_a_neighbour_that_comes_and_goes_does_not_change_what_rows_cost(on: Any) -> None:
    turns = iter(range(10_000))
    machine = on(lambda rows, context: steady(rows, 0) / 40 * (1 + 3 * (next(turns) % 4 == 0)))
    costs = PassCosts("m", None).measure(machine, [_Layer(100)])
    assert costs(8) / costs(1) == pytest.approx(1.7, rel=0.01)


def test_past_a_band_the_one_before_tells_until_each_number_of_rows_is_measured(
    on: Any, tmp_path: Path
) -> None:
    machine, costs = on(steady), PassCosts("m", tmp_path)
    first = costs.measure(machine, [_Layer(100)])
    assert costs.known(9000) == first and costs.unmeasured(9000) == list(ROWS)
    machine.passes.clear()
    told = costs.measure_rows(machine, [_Layer(9000)], 1)
    assert machine.passes == [1] * PASSES_A_MEASURE
    assert told(1) == pytest.approx(steady(1, 9000), rel=0.01)
    # The rest grows by as much as a pass of one row has until it is known.
    assert told(8) - first(8) == pytest.approx(told(1) - first(1))
    for rows in ROWS[1:]:
        told = costs.measure_rows(machine, [_Layer(9000)], rows)
    assert told(8) == pytest.approx(steady(8, 9000), rel=0.01)
    assert costs.unmeasured(9000) == [] and costs.known(100) == first
    assert PassCosts("m", tmp_path).known(9000) == told


def test_half_a_band_is_gone_on_with_in_the_next_run(on: Any, tmp_path: Path) -> None:
    machine, costs = on(steady), PassCosts("m", tmp_path)
    costs.measure(machine, [_Layer(100)])
    costs.measure_rows(machine, [_Layer(40_000)], 1)
    again = PassCosts("m", tmp_path)
    assert again.unmeasured(40_000) == list(ROWS[1:])
    assert again.known(40_000) == costs.known(40_000)


@pytest.mark.parametrize("content", ["", "{}", '{"format": 2, "curves": {"2048": {}}}', "[1]"])
def test_a_file_that_is_none_is_as_good_as_no_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "m.json").write_text(content)
    assert PassCosts("m", tmp_path).known(100) is None


class _LongText(Clocked):
    """A machine whose first band is known; at 8k tokens rows cost four times as much more."""

    def __init__(self) -> None:
        super().__init__(lambda rows: 0.04 * (1 + 0.05 * (rows - 1)), ROWS)
        self.again: list[int] = []

    def known(self, context_tokens: int) -> Any:
        return super().known(context_tokens)

    def unmeasured(self, context_tokens: int) -> list[int]:
        return [rows for rows in ROWS if rows not in self.again] if context_tokens > 8192 else []

    def measure_more(self, rows: int) -> Any:
        if rows in ROWS:
            self.curve = lambda rows: 0.04 * (1 + 0.2 * (rows - 1))
            self.again.append(rows)
        return super().measure_more(rows)


def test_a_reply_that_passes_8k_tokens_is_not_stopped_for_measuring_and_learns_what_rows_cost() -> (
    None
):
    text = list(range(1000, 1040)) * 250
    costs = _LongText()
    told = replay(text[:8000], text[:2000], costs, longest=7)
    assert costs.again == list(ROWS)
    gaps = [after - before for before, after in zip(told.times, told.times[1:], strict=False)]
    assert max(gaps) <= 0.04 * 2.4 * (1 + PASSES_A_MEASURE)
    assert told.times[-1] < 0.04 * len(told.times)
