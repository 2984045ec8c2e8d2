"""What a conversion says before and while it runs."""

import re
from itertools import pairwise

import pytest

from magistral_convert.display import ConversionDisplay
from magistral_convert.output.plan import plan_conversion
from magistral_convert.progress import Forecast
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
        display.foretold(Forecast(plan_conversion(_SHAPES, Recipe(4)), 819_200, 173_000_000))
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
        display.foretold(Forecast(plan, 819_200, 4_740_000_000, seconds=seconds))
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
        display.foretold(Forecast(plan_conversion(shapes, Recipe(4)), 1, 1, seconds=700.0))
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
    assert shown[:6] == [""] * 6
    assert shown[6:8] == ["10:52 left", "10:45 left"] and shown[-2] == "0:07 left"


@pytest.mark.parametrize("layers", [4, 40])
def test_a_calibrated_layer_counts_when_it_ends_and_not_with_its_first_tensor(
    capsys: pytest.CaptureFixture[str], layers: int
) -> None:
    # Gradients of all layers first, then each stage of a layer is calibrated for long, and its
    # tensors are written in no time.
    clock = _Clock()
    tensors = ("q", "k", "v", "o", "gate", "up", "down")
    shapes = {
        f"model.layers.{layer}.{name}.weight": (64, 64)
        for layer in range(layers)
        for name in tensors
    }
    shapes = {"model.embed_tokens.weight": (512, 64), **shapes, "lm_head.weight": (512, 64)}
    gradients, stage, head = 60.0, 8.0, 20.0
    whole = gradients + layers * 4 * stage + head
    told: list[tuple[float, str]] = []
    with ConversionDisplay(clock) as display:

        def wait(seconds: float) -> None:
            for _ in range(round(seconds)):
                clock.now += 1
                told.append((whole - clock.now, _left(clock, display)))

        display.foretold(Forecast(plan_conversion(shapes, Recipe(4)), 1, 1, seconds=131.0))
        display.resumed(0, 0)
        for layer in range(layers):
            display.started(f"importance: layer {layer + 1} of {layers} forward")
            wait(gradients / layers)
        for name, shape in shapes.items():
            display.started(name)
            if name.endswith(("q.weight", "o.weight", "gate.weight", "down.weight")):
                wait(stage)
            wait(head if name == "lm_head.weight" else 0)
            display.advanced(shape[0] * shape[1])
    figures = [(true, _seconds(text)) for true, text in told if text and true > 0]
    assert len(figures) > 0.6 * layers * 4 * stage
    assert all(abs(said - true) <= 0.25 * whole for true, said in figures)
    steps = [one - other for (_, one), (_, other) in pairwise(figures)]
    assert max(map(abs, steps)) <= 0.1 * whole
    (line,) = (each for each in capsys.readouterr().err.splitlines() if "to go" in each)
    assert int(line.split()[1]) * (60 if "min" in line else 1) <= whole


def _seconds(text: str) -> int:
    minutes, seconds = text.removesuffix(" left").split(":")
    return 60 * int(minutes) + int(seconds)


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
