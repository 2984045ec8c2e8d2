"""``train`` in process: the whole way on nano, and what bad input gets."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from training_chats import conversations

from mlx_magistral.cli.main import main
from mlx_magistral.train.trainer import Trainer


@pytest.fixture(scope="module")
def chats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("chats") / "chats.jsonl"
    records = conversations(24)
    for record in records:
        record["messages"][-1].pop("weight", None)
    path.write_text("\n".join(map(json.dumps, records)))
    return path


def train(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


QUICK = ("--iters", 2, "--batch-size", 2, "--rank", 2, "--max-seq-len", 200)


def test_an_adapter_comes_out_that_generate_takes(chats: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    result = train("nano", chats, "--valid", chats, "-o", folder, *QUICK, "--peft")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{folder}\n"
    for told in ("Examples to train on", "⟦", "Memory: weights", "step 2/2", "held-out loss"):
        assert told in result.stderr
    names = {path.name for path in folder.iterdir()}
    assert {"adapters.safetensors", "adapter_config.json", "README.md", "log.jsonl"} <= names
    assert (folder / "curve.png").read_bytes().startswith(b"\x89PNG")
    arguments = ["generate", "-m", "nano", "--adapter", str(folder), "--max-tokens", "3", "2+2"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    again = train("nano", chats, "--valid", chats, "-o", folder, *QUICK)
    assert again.exit_code == 1
    assert "has ended already" in again.stderr
    assert train("nano", chats, "-o", folder, *QUICK, "--restart", "-q").exit_code == 0


def test_json_is_a_line_for_each_step(chats: Path, tmp_path: Path) -> None:
    result = train("nano", chats, "-o", tmp_path / "mine", *QUICK, "--json", "-q")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["step"] for each in lines if "loss" in each] == [1, 2]
    assert result.stderr == ""


def test_a_dry_run_writes_nothing(chats: Path, tmp_path: Path) -> None:
    result = train("nano", chats, "-o", tmp_path / "mine", "--dry-run")
    assert result.exit_code == 0
    assert "epochs" in result.stderr
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ((), 2, "nothing to train on"),
        (("--dora", "--full"), 2, "exclude each other"),
        (("--iters", 3, "--epochs", 1), 2, "exclude each other"),
        (("--rank", 0), 2, "--rank must be 1 or more"),
        (("--num-layers", 9), 2, "the model has 4"),
        (("--max-seq-len", 150, "--strict"), 1, "--max-seq-len is 150"),
        (("--epochs", "nan"), 2, "--epochs must be more than 0"),
        (("--epochs", "inf"), 2, "--epochs must be more than 0"),
        (("--valid-share", "nan"), 2, "--valid-share is a share"),
        (("--seed", 10**30), 2, "--seed must be 0 or more"),
        (("--save-every", 0), 2, "--save-every must be 1 or more"),
        (("--patience", -1), 2, "--patience must be 0 or more"),
        (("--weight-decay", "nan"), 2, "--weight-decay must be 0 or more"),
    ],
)
def test_what_cannot_be_is_one_line(
    chats: Path, tmp_path: Path, arguments: tuple[Any, ...], code: int, told: str
) -> None:
    data = [chats] if arguments else []
    result = train("nano", *data, "-o", tmp_path / "mine", *arguments, "-q")
    assert result.exit_code == code
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_empty_file_is_named(chats: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    for data in ([empty], [chats, "--valid", empty]):
        result = train("nano", *data, "-o", tmp_path / "mine", "-q")
        assert result.exit_code == 1
        assert result.stderr == f"error: {empty} holds no example: it is empty.\n"


def test_quantized_weights_are_not_trained_in_full_and_nothing_is_written(
    chats: Path, tmp_path: Path
) -> None:
    base = tmp_path / "nano-4bit"
    assert CliRunner().invoke(main, ["convert", "nano", str(base), "--bits", "4"]).exit_code == 0
    result = train(base, chats, "-o", tmp_path / "mine", *QUICK, "--full")
    assert result.exit_code == 1
    assert "these are quantized" in result.stderr
    assert not (tmp_path / "mine").exists()


def test_a_folder_that_cannot_be_is_refused_before_the_first_step(
    chats: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    result = train("nano", chats, "-o", tmp_path / "file" / "mine", *QUICK)
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr
    assert "step 1" not in result.stderr


def test_what_is_missing_after_the_last_step_is_written_by_the_same_command(
    chats: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    assert train("nano", chats, "-o", folder, *QUICK, "-q").exit_code == 0
    before = (folder / "adapters.safetensors").read_bytes()
    (folder / "README.md").unlink()
    assert train("nano", chats, "-o", folder, *QUICK, "-q").exit_code == 0
    assert (folder / "README.md").is_file()
    assert train("nano", chats, "-o", folder, *QUICK, "-q", "--peft").exit_code == 0
    assert (folder / "peft" / "adapter_model.safetensors").is_file()
    assert (folder / "adapters.safetensors").read_bytes() == before


def test_an_interrupt_says_what_was_saved(
    chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer._train_step

    def interrupted(self: Trainer) -> None:
        if self.step == 1:
            raise KeyboardInterrupt
        step(self)

    monkeypatch.setattr(Trainer, "_train_step", interrupted)
    result = train("nano", chats, "-o", tmp_path / "mine", *QUICK)
    assert result.exit_code == 130
    assert "Saved after step 1. The same command goes on." in result.stderr


def test_verbose_tells_every_step(chats: Path, tmp_path: Path) -> None:
    result = train("nano", chats, "-o", tmp_path / "mine", *QUICK[2:], "--iters", 3, "-v")
    assert [f"step {step}/3" in result.stderr for step in (1, 2, 3)] == [True] * 3


def test_what_does_not_fit_is_refused_with_the_numbers(
    chats: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlx_magistral.memory.machine import Backend, Machine
    from mlx_magistral.train import job

    small = Machine("a tiny machine", Backend.CPU, 20_000_000)
    monkeypatch.setattr(job, "this_machine", lambda: small)
    result = train("nano", chats, "-o", tmp_path / "mine", "-q")
    assert result.exit_code == 1
    assert "does not fit a tiny machine" in result.stderr
    assert "would fit" in result.stderr
    assert not (tmp_path / "mine").exists()
