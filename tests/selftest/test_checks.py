"""Each check passes here, and finds the fault that it is for."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from click.testing import CliRunner

from mlx_magistral import Magistral
from mlx_magistral.bench.bandwidth import Bandwidth
from mlx_magistral.cli.commands import selftest as command
from mlx_magistral.cli.main import main
from mlx_magistral.errors import MagistralError
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.cache import KVCache
from mlx_magistral.selftest import checks, logits, peak, speculation, speed
from mlx_magistral.selftest.checks import Check, run_check
from mlx_magistral.selftest.line import Line, State, judged
from mlx_magistral.selftest.prefixes import prefixes_lines
from mlx_magistral.selftest.report import last_lines, shown
from mlx_magistral.selftest.tokens import tokens_line

CPU = mx.Device(mx.cpu)
IDS = [1, *range(70, 90)]  # letters


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


def states(lines: Sequence[Line]) -> set[State]:
    return {line.state for line in lines}


@pytest.mark.parametrize(("bits", "kv_bits"), [(16, 16), (4, 8)])
def test_one_device_is_no_distance_from_itself_and_rounds(bits: int, kv_bits: int) -> None:
    rounding, apart = logits.compare(bits, kv_bits, IDS, (CPU, CPU))
    assert apart.found == 0 and apart.is_ok
    assert 1e-4 < rounding.found < rounding.bound and rounding.is_ok


@pytest.mark.parametrize("fault", ["a rotation", "one head", "nan"])
def test_a_device_that_computes_wrongly_differs(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """The second device of the pair is the CPU with a fault in its weights."""
    passes = 0
    right = logits.logits_of

    def wrong(model: Any, *arguments: Any) -> mx.array:
        nonlocal passes
        passes += 1
        if passes != 2:
            return right(model, *arguments)
        attention = model.layers[0].self_attn
        kept = attention.q_proj.weight
        rows = mx.arange(kept.shape[0])
        if fault == "a rotation":  # pairs beside each other in place of halves
            attention.q_proj.weight = mx.concatenate([kept[::2], kept[1::2]])
        elif fault == "one head":
            attention.q_proj.weight = mx.where(rows[:, None] < 32, 0, kept).astype(kept.dtype)
        else:
            attention.q_proj.weight = kept * float("nan")
        found = right(model, *arguments)
        attention.q_proj.weight = kept
        return found

    monkeypatch.setattr(logits, "logits_of", wrong)
    rounding, apart = logits.compare(16, 16, IDS, (CPU, CPU))
    assert rounding.is_ok and not apart.is_ok


def test_prefixes_are_equal_and_a_changed_bit_is_seen(
    nano: Magistral, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert states(prefixes_lines(nano, tmp_path / "right", (16,))) == {State.OK}
    restore = KVCache.restore

    def other(self: KVCache, arrays: Sequence[mx.array]) -> None:
        restore(self, [array * 1.01 for array in arrays])

    monkeypatch.setattr(KVCache, "restore", other)
    (line,) = prefixes_lines(nano, tmp_path / "wrong", (16,))
    assert line.state is State.DIFFERS and "other bits" in line.figure


def test_guessing_that_changes_a_reply_differs(
    nano: Magistral, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = speculation.speculation_line(nano, 24)
    assert line.state is State.OK and "6 of 6 replies equal" in line.figure
    monkeypatch.setattr(
        speculation, "said", lambda model, question, **options: (str(options["speculate"]), 1.0)
    )
    assert speculation.speculation_line(nano, 24).state is State.DIFFERS


def test_ids_are_mistral_commons_and_others_differ(
    nano: Magistral, monkeypatch: pytest.MonkeyPatch
) -> None:
    tekken = nano_folder() / "tekken.json"
    assert tokens_line(nano.tokenizer, tekken).state is State.OK
    encode = nano.tokenizer.encode_chat
    monkeypatch.setattr(
        nano.tokenizer, "encode_chat", lambda *each, **more: [*encode(*each, **more), 4]
    )
    line = tokens_line(nano.tokenizer, tekken)
    assert line.state is State.DIFFERS and line.figure.startswith("0 of 4")


def test_a_peak_that_was_predicted_wrongly_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    case = peak.Case("base", 400, 128, 16, 100, 100)
    for predicted, state in ((104, State.OK), (94, State.DIFFERS)):
        changed = peak.Case("base", 400, 128, 16, predicted, case.measured)
        monkeypatch.setattr(peak, "measure_peak", lambda *each, changed=changed: changed)
        assert states(peak.peak_lines()) == {state}


def test_a_rate_over_the_limit_differs(nano: Magistral, monkeypatch: pytest.MonkeyPatch) -> None:
    for bytes_per_s, state in ((1e12, State.OK), (1e3, State.DIFFERS)):
        bandwidth = Bandwidth(bytes_per_s, "assumed")
        monkeypatch.setattr(speed, "machine_bandwidth", lambda found=bandwidth: found)
        assert speed.speed_line(nano).state is state


@pytest.mark.parametrize(
    ("findings", "error", "state"),
    [([], 0.006, State.OK), ([], 0.02, State.DIFFERS), (["lm_head is short"], 0, State.DIFFERS)],
)
def test_a_conversion_is_judged_by_its_findings_and_its_error(
    tmp_path: Path, findings: list[str], error: float, state: State
) -> None:
    (line,) = checks._converted(lambda target, bits: (findings, error), tmp_path, 8)
    assert line.state is state


def test_nano_converted_and_read_back_has_no_findings(tmp_path: Path) -> None:
    (line,) = checks._converted(command._round_trip, tmp_path / "nano-8", 8)
    assert line.state is State.OK, line.figure


@pytest.mark.parametrize(
    "error", [MagistralError("It broke.\nHere."), RuntimeError(), MemoryError()]
)
def test_what_a_check_raises_is_a_line(error: Exception) -> None:
    def fail() -> list[Line]:
        raise error

    (line,) = run_check(Check("a check", fail))
    assert line.state is State.DIFFERS and line.name == "a check"
    assert line.figure in ("It broke.", "RuntimeError", "MemoryError")


def test_a_model_of_ones_own_is_checked_by_its_name() -> None:
    named = [check.name for check in checks.checks(str(nano_folder()), command._round_trip)]
    assert named[-4:] == [
        f"{each} of nano" for each in ("ids", "prefixes", "speculation", "decode rate")
    ]


def test_its_lines_say_whose_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "machine_bandwidth", lambda: Bandwidth(1e12, "assumed"))
    monkeypatch.setattr(checks, "_MODEL_TOKENS", 4)
    for check in checks._model_checks(str(nano_folder()), tmp_path):
        for line in run_check(check):
            assert line.state is State.OK and line.name.endswith(", nano")


def test_a_machine_without_a_gpu_says_what_a_mac_would_add() -> None:
    lines = checks.gpu_lines()
    assert states(lines) == {State.GPU} and len(lines) == 6
    assert all(shown(line).startswith("GPU ") for line in lines)
    assert "6 lines that a Mac would add" in next(last_lines(lines, 1.0))


def test_the_output_is_one_block_and_the_report_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [judged("first", True, "0.1"), judged("second", False, "2.0 (at most 1)")]
    monkeypatch.setattr(
        checks,
        "checks",
        lambda model, round_trip: [Check(each.name, lambda each=each: [each]) for each in lines],
    )
    report = tmp_path / "report.md"
    result = CliRunner().invoke(main, ["selftest", "--report", str(report)])
    assert result.exit_code == 1
    assert result.stdout == report.read_text()
    first, *middle, last = result.stdout.splitlines()
    assert (first, last) == ("```text", "```")
    assert middle[1:3] == ["ok       first: 0.1", "differs  second: 2.0 (at most 1)"]
    assert re.match(r"1 ok, 1 differ; \d+ s$", middle[3])
    assert "Python 3." in middle[4] and "mlx 0." in middle[5]
    as_json = CliRunner().invoke(main, ["selftest", "--json"])
    first, second = json.loads(as_json.stdout)["lines"]
    assert (first["state"], second["state"]) == ("ok", "differs") and as_json.exit_code == 1
