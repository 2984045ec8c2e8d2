"""What a conversion says before and while it runs."""

import re

import pytest

from magistral_convert.display import ConversionDisplay
from magistral_convert.output.plan import plan_conversion
from magistral_convert.recipe import Recipe
from mlx_magistral.terminal.time_left_column import TimeLeftColumn

_SHAPES = {f"model.layers.{layer}.mlp.up_proj.weight": (64, 64) for layer in range(100)}
_A_LAYER = 64 * 64


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def _run(seconds_a_layer: float, layers: int, resumed: int = 0) -> None:
    clock = _Clock()
    with ConversionDisplay(clock) as display:
        display.planned(plan_conversion(_SHAPES, Recipe(4)), 819_200, 173_000_000, ())
        clock.now += 1000  # hashing what an earlier run left
        display.resumed(resumed, resumed * _A_LAYER)
        for _ in range(layers):
            clock.now += seconds_a_layer
            display.advanced(_A_LAYER)


def test_the_plan_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    _run(1, 0)
    said = capsys.readouterr()
    assert "819 kB ->" in said.err and "4.50 bits a weight" in said.err
    assert "173.00 MB of memory" in said.err and not said.out


@pytest.mark.parametrize(
    ("seconds", "said"), [(50.0, "50 s"), (1800.0, "30 min"), (50_000.0, "14 h")]
)
def test_the_time_of_calibration_is_told_before_it_starts(
    capsys: pytest.CaptureFixture[str], seconds: float, said: str
) -> None:
    with ConversionDisplay() as display:
        plan = plan_conversion(_SHAPES, Recipe(4))
        display.planned(plan, 819_200, 4_740_000_000, (), seconds)
    assert f"needs about 4.74 GB of memory and {said} at the pace" in capsys.readouterr().err


def test_the_time_is_told_once_after_the_first_tensors(capsys: pytest.CaptureFixture[str]) -> None:
    _run(2, 4)
    assert "to go" not in capsys.readouterr().err
    _run(2, 80)
    said = capsys.readouterr().err
    assert said.count("to go") == 1 and "about 3 min to go" in said


def test_what_an_earlier_run_did_is_not_to_go(capsys: pytest.CaptureFixture[str]) -> None:
    _run(2, 10, resumed=50)
    assert "about 90 s to go" in capsys.readouterr().err


def test_a_short_conversion_needs_no_estimate(capsys: pytest.CaptureFixture[str]) -> None:
    _run(0.06, 100)
    assert "to go" not in capsys.readouterr().err


@pytest.mark.parametrize("columns", [80, 40])
def test_the_live_line_keeps_its_figures_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    clock = _Clock()
    with ConversionDisplay(clock) as display:
        display.expected(200)
        display.started("model.layers.10.post_attention_layernorm.weight")
        _left(clock, display)
        clock.now = 20
        display.advanced(50)
    line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err).split("\r")[-2].strip()
    assert line.startswith("layers.10.post_") and " 25% " in line and line.endswith("left")
    assert len(line) <= columns
    assert ("elapsed" in line) == (columns == 80)


def _left(clock: _Clock, display: ConversionDisplay) -> str:
    """What the live line says at this moment."""
    (task,) = display._progress.tasks
    return next(
        str(column.render(task))
        for column in display._progress.columns
        if isinstance(column, TimeLeftColumn)
    )


def test_the_time_left_is_the_time_passed_over_what_was_done_in_it() -> None:
    clock = _Clock()
    shapes = {"model.embed_tokens.weight": (1280, 64), **_SHAPES}
    with ConversionDisplay(clock) as display:
        display.planned(plan_conversion(shapes, Recipe(4)), 1, 1, (), 700.0)
        display.resumed(0, 0)
        display.started("model.embed_tokens.weight")
        clock.now = 1
        display.advanced(1280 * 64)
        shown = []
        for layer in range(100):
            display.started(f"model.layers.{layer}.mlp.up_proj.weight")
            clock.now += 7  # the layer is calibrated, and written in no time
            display.advanced(_A_LAYER)
            shown.append(_left(clock, display))
            clock.now += 0.01
    assert shown[:5] == [""] * 5
    assert shown[5:7] == ["10:59 left", "10:52 left"] and shown[-2] == "0:07 left"


def test_a_wait_changes_the_time_left_little_by_little() -> None:
    clock = _Clock()
    with ConversionDisplay(clock) as display:
        display.expected(100)
        _left(clock, display)
        clock.now = 50
        display.advanced(50)
        assert _left(clock, display) == "0:50 left"
        clock.now = 60
        assert _left(clock, display) == "1:00 left"
