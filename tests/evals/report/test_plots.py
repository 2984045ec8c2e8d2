"""Plots: what they show, in a terminal and as a picture."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from evals.report.test_figures import BLANK, run
from PIL import Image

from mlx_magistral.cli.main import main
from mlx_magistral.errors import MissingExtraError, RunError
from mlx_magistral.evals.report.figures import task_figures
from mlx_magistral.evals.report.picture import save_png
from mlx_magistral.evals.report.plots import budget_curves, histogram, plot_lines
from mlx_magistral.evals.run.folder import RunFolder


def figures(right: int, task: str = "t") -> list:  # type: ignore[type-arg]
    outcomes = {f"p{n}": "r" if n < right else "w" for n in range(10)}
    return task_figures(run(outcomes, task=task))


def test_a_curve_goes_from_the_least_budget_to_none_and_the_card() -> None:
    runs = [(None, figures(9, "aime24")), (16, figures(2, "aime24")), (8, figures(1, "aime24"))]
    (curve,) = budget_curves(runs)
    assert [(bar.name, bar.share) for bar in curve.bars] == [
        ("8", 0.1),
        ("16", 0.2),
        ("no budget", 0.9),
        ("card", pytest.approx(0.7052)),
    ]
    lines = plot_lines(curve, 90)
    assert lines[0] == "aime24: pass@1 by thinking budget"
    assert "90.0 % (" in lines[3] and lines[3].endswith("100 tokens")
    assert "│" in lines[1] and "│" not in lines[4] and "70.5 %" in lines[4]
    assert lines[3].count("█") > lines[2].count("█") > 0


def test_one_budget_twice_is_refused() -> None:
    with pytest.raises(RunError, match="Two of these runs have a budget of 8"):
        budget_curves([(8, figures(1)), (8, figures(2))])


def test_a_histogram_has_round_edges_and_every_sample_once() -> None:
    lengths = [0, 5, 119, 120, 121, 1439]
    samples = [
        sample
        for n, length in enumerate(lengths)
        for sample in run({f"p{n}": "w" if n == 3 else "r"}, thinking_tokens=length)
    ]
    found = histogram("t", samples)
    assert found.bins[1].low == 200 and found.bins[-1].high > 1439
    assert sum(each.right + each.wrong for each in found.bins) == 6
    assert (found.bins[0].right, found.bins[0].wrong) == (4, 1)
    lines = plot_lines(found, 40)
    assert lines[1].endswith("5") and "░" in lines[1] and all(len(line) <= 44 for line in lines)


def test_a_picture_shows_both(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    panels = [*budget_curves([(8, figures(1)), (None, figures(9))]), histogram("t", [BLANK])]
    save_png(path, "a title", panels)
    with Image.open(path) as picture:
        assert picture.size == (900, 880)
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert (0x35, 0x66, 0xC8) in colours
    with pytest.raises(RunError, match="cannot be written"):
        save_png(tmp_path / "no" / "plot.png", "", panels)


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(MissingExtraError, match=r"mlx-magistral\[plots\]"):
        save_png(tmp_path / "plot.png", "", [])


def test_the_command_plots_one_run_or_several(tmp_path: Path) -> None:
    for name, budget in (("a", 8), ("b", None)):
        identity = {"recipe": {"think_budget": budget}, "tasks": {}, "model": {}}
        with RunFolder(tmp_path / name, json.loads(json.dumps(identity)), {}) as folder:
            folder.append(BLANK)
    one = CliRunner().invoke(main, ["eval", "plot", str(tmp_path / "a")])
    assert one.exit_code == 0 and one.stdout.startswith("t: tokens of thinking")
    both = [str(tmp_path / "a"), str(tmp_path / "b")]
    curve = CliRunner().invoke(main, ["eval", "plot", *both])
    assert "pass@1 by thinking budget" in curve.stdout and "no budget" in curve.stdout
    png = CliRunner().invoke(main, ["eval", "plot", *both, "--png", str(tmp_path / "p.png")])
    assert png.exit_code == 0 and (tmp_path / "p.png").stat().st_size > 1000
    missing = CliRunner().invoke(main, ["eval", "plot", str(tmp_path / "c")])
    assert missing.exit_code == 1 and "is no run" in missing.stderr
