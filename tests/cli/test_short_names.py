"""What ``list`` shows is what every command takes, from any folder."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import resolve_source
from mlx_magistral.cli.main import main
from mlx_magistral.errors import ModelNotFoundError
from mlx_magistral.hub.known_folders import remember_folder
from mlx_magistral.hub.resolve import find_local, model_names, nano_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A converted model that was named once, and another folder to work in."""
    made = tmp_path / "models" / "sums-4bit"
    made.parent.mkdir()
    convert_checkpoint(resolve_source("nano"), made, Recipe(4))
    remember_folder(made)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("MLX_MAGISTRAL_DATA", str(tmp_path / "data"))
    return made


def run(*arguments: str, code: int = 0, **environment: str) -> Result:
    result = CliRunner().invoke(main, [*arguments], env=environment)
    assert result.exit_code == code, result.stderr
    return result


def listed() -> list[dict[str, object]]:
    found = json.loads(run("list", "--json").stdout)["models"]
    assert isinstance(found, list)
    return found


QUESTION = ("generate", "What is 37 + 48?", "--temperature", "0", "--quiet", "--max-tokens", "9")


def test_the_listed_name_is_taken_everywhere(folder: Path) -> None:
    assert [each["name"] for each in listed()] == ["nano", "sums-4bit"]
    assert run("list", "-q").stdout.splitlines() == ["nano", "sums-4bit"]
    run(*QUESTION, "-m", "sums-4bit")
    run(*QUESTION, MLX_MAGISTRAL_MODEL="sums-4bit")
    assert json.loads(run("show", "sums-4bit", "--json").stdout)["folder"] == str(folder)
    assert json.loads(run("verify", "sums-4bit", "--json").stdout)["is_whole"] is True
    run("fit", "sums-4bit")
    run("use", "sums-4bit")
    assert [each["name"] for each in listed() if each["is_default"]] == ["sums-4bit"]
    assert f"default model: {folder}" in run("doctor").stdout
    run("rm", "sums-4bit", "--yes")
    assert not folder.exists()
    assert [(each["name"], each["is_default"]) for each in listed()] == [("nano", True)]


def test_two_folders_of_one_name_are_listed_by_their_paths(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "more" / folder.name
    shutil.copytree(folder, other)
    remember_folder(other)
    assert set(model_names()) == {"nano", str(folder), str(other)}
    for each in (folder, other):
        assert find_local(str(each)) == each
    with pytest.raises(ModelNotFoundError):
        find_local(folder.name)


def test_a_model_here_comes_before_one_elsewhere_and_another_folder_does_not(
    folder: Path,
) -> None:
    here = Path("sums-4bit")
    here.mkdir()
    assert find_local("sums-4bit") == folder
    shutil.copytree(nano_folder(), here, dirs_exist_ok=True)
    assert find_local("sums-4bit") == here


def test_no_folder_takes_the_name_of_nano(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "more" / "nano"
    shutil.copytree(folder, other)
    remember_folder(other)
    assert find_local("nano") == nano_folder()
    assert str(other) in model_names()


def test_a_name_that_is_nearly_right_is_asked_about(folder: Path) -> None:
    said = run("show", "sums-4bits", code=1).stderr
    assert "Did you mean sums-4bit?" in said and said.count("\n") == 1


@pytest.mark.parametrize("name", ["wrong", "no/such/folder", "empty"])
def test_chat_refuses_a_wrong_model_before_the_first_message(folder: Path, name: str) -> None:
    Path("empty").mkdir()
    ended = CliRunner().invoke(main, ["chat", "-m", name], input="What is 1 + 2?\n")
    assert ended.exit_code == 1
    assert ended.stdout == "" and ended.stderr.startswith("error: ")
    by_default = run("chat", code=1, MLX_MAGISTRAL_MODEL=name)
    assert by_default.stderr == ended.stderr


def test_chat_says_that_a_sessions_model_is_gone(folder: Path) -> None:
    run(*QUESTION, "-m", "sums-4bit", "--session", "s")
    run("rm", "sums-4bit", "--yes")
    said = run("chat", "--continue", code=1).stderr
    assert "The session's model is gone." in said and "--model NAME" in said
    flags = ["chat", "--continue", "-m", "nano"]
    went_on = CliRunner().invoke(main, flags, input="What is 1 + 2?\n")
    assert went_on.exit_code == 0, went_on.stderr
