"""Wired memory: set only when asked for, bounded, and given back with the model."""

import mlx.core as mx
import pytest
from click.testing import CliRunner

from mlx_magistral import Magistral
from mlx_magistral.chat.worker import ModelThread
from mlx_magistral.cli.main import main

MOST = 22_906_503_168
BEFORE = 1_234


class Mac:
    """MLX's functions as a Mac has them: one limit, and every call of it."""

    def __init__(self) -> None:
        self.limit = BEFORE
        self.calls: list[int] = []

    def set_wired_limit(self, limit: int) -> int:
        self.calls.append(limit)
        previous, self.limit = self.limit, limit
        return previous


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> Mac:
    mac = Mac()
    monkeypatch.setattr(mx.metal, "is_available", lambda: True)
    monkeypatch.setattr(mx, "device_info", lambda: {"max_recommended_working_set_size": MOST})
    monkeypatch.setattr(mx, "set_wired_limit", mac.set_wired_limit)
    return mac


def generate(*options: str) -> tuple[int, str]:
    command = ["generate", "What is 1 + 2?", "-m", "nano", "--max-tokens", "1", *options]
    result = CliRunner().invoke(main, command)
    return result.exit_code, result.stderr


def test_nothing_is_wired_unless_asked_for(mac: Mac) -> None:
    loaded = Magistral.load("nano")
    loaded.unload()
    loaded.reload()
    assert generate()[0] == 0
    assert mac.calls == []


def test_held_while_the_model_is_and_restored_with_it(mac: Mac) -> None:
    loaded = Magistral.load("nano", wired_bytes=MOST)
    assert mac.limit == MOST
    loaded.unload()
    assert mac.limit == BEFORE
    loaded.unload()
    loaded.reload()
    assert mac.limit == MOST
    loaded.unload()
    assert mac.calls == [MOST, BEFORE, MOST, BEFORE]


def test_a_chat_that_changes_its_model_gives_the_limit_back(mac: Mac) -> None:
    thread = ModelThread()
    for wired in (5_000_000, None):
        thread.use(lambda wired=wired: Magistral.load("nano", wired_bytes=wired))
        run = thread.start(messages="hi", max_tokens=1)
        while run.next() is not None:
            pass
    assert mac.calls == [5_000_000, BEFORE]


def test_flag_is_in_gigabytes(mac: Mac) -> None:
    assert generate("--wired", "1.5")[0] == 0
    assert mac.calls == [1_500_000_000]


def test_auto_is_exactly_the_planned_peak(mac: Mac) -> None:
    assert generate("--wired", "auto", "--context", "512")[0] == 0
    loaded = Magistral.load("nano", wired_bytes="auto", context_tokens=512)
    assert mac.calls == [loaded.memory.plan.peak_bytes] * 2
    longer = Magistral.load("nano", wired_bytes="auto", context_tokens=1024)
    assert mac.calls[-1] == longer.memory.plan.peak_bytes > mac.calls[0]


@pytest.mark.parametrize("gigabytes", ["0", "-1", "22.91", "9e9"])
def test_more_than_is_recommended_is_refused_with_the_number(mac: Mac, gigabytes: str) -> None:
    code, said = generate("--wired", gigabytes)
    assert code == 2 and "at most 22.9." in said and said.count("\n") == 1
    assert mac.calls == []
    assert generate("--wired", "22.9")[0] == 0


@pytest.mark.parametrize("gigabytes", ["nan", "inf", "much"])
def test_what_is_no_number_is_refused(gigabytes: str) -> None:
    code, said = generate("--wired", gigabytes)
    assert code == 2 and f"gigabytes or auto, not {gigabytes}." in said


@pytest.mark.parametrize(
    "command", [["generate", "hi", "-m", "nano"], ["chat", "-m", "nano"], ["serve", "nano"]]
)
def test_without_metal_a_line_says_so(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> None:
    monkeypatch.setattr(mx.metal, "is_available", lambda: False)
    options = ["--port", "0"] if command[0] == "serve" else []
    result = CliRunner().invoke(main, [*command, *options, "--wired", "3"], input="hi\n")
    assert result.exit_code == (0 if command[0] == "chat" else 2)  # a chat goes on
    assert "--wired needs a Mac's GPU" in result.stderr and "Traceback" not in result.stderr
