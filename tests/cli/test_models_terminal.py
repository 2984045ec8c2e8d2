"""What a person at a terminal meets: the question of rm, Tab, a narrow or dumb window."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from mlx_magistral.hub.resolve import nano_folder


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with the program under its name, as an installation has it."""
    folder = tmp_path / "programs"
    folder.mkdir()
    program = folder / "mlx-magistral"
    program.write_text(f"#!{sys.executable}\nfrom mlx_magistral.cli.main import main\nmain()\n")
    program.chmod(0o755)
    return folder


def environment(programs: Path, **extra: str) -> dict[str, str]:
    root = Path(__file__).parent.parent.parent
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": f"{root}:{root / 'convert'}",
        "HF_HOME": str(programs.parent / "hub"),
        **extra,
    }


@pytest.mark.parametrize(("answer", "stays"), [("n", True), ("y", False)])
def test_rm_asks_and_keeps_to_the_answer(programs: Path, answer: str, stays: bool) -> None:
    folder = programs.parent / "model"
    shutil.copytree(nano_folder(), folder)
    child = pexpect.spawn(
        str(programs / "mlx-magistral"),
        ["rm", str(folder)],
        env=environment(programs),
        encoding="utf-8",
        timeout=60,
        dimensions=(24, 200),
    )
    child.expect(r"Delete .*model \(0\.0\d+ GB\)\? \[y/N\]")
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert folder.exists() is stays
    assert child.exitstatus == (1 if stays else 0)


@pytest.mark.parametrize(
    "spoil", [lambda folder: (folder / "thesis").mkdir(), lambda f: (f / "params.json").unlink()]
)
def test_rm_leaves_what_is_no_model_alone(programs: Path, spoil: object) -> None:
    folder = programs.parent / "model"
    shutil.copytree(nano_folder(), folder)
    assert callable(spoil)
    spoil(folder)
    before = sorted(folder.iterdir())
    result = subprocess.run(
        ["mlx-magistral", "rm", str(folder), "--yes"],
        env=environment(programs),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert "Nothing was deleted" in result.stderr
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", ["nano", "../other", "a/..", "no/model"])
def test_rm_reaches_nothing_outside(programs: Path, name: str) -> None:
    (programs.parent / "hub" / "hub").mkdir(parents=True)
    result = subprocess.run(
        ["mlx-magistral", "rm", name, "--yes"],
        env=environment(programs),
        cwd=programs,
        capture_output=True,
        text=True,
    )
    assert result.returncode in (1, 2)
    assert result.stderr.startswith("error: ")
    assert (programs / "mlx-magistral").exists()


@pytest.mark.parametrize(
    ("shell", "words"),
    [
        ("bash", {"COMP_WORDS": "mlx-magistral use na", "COMP_CWORD": "2"}),
        ("zsh", {"COMP_WORDS": "mlx-magistral use na", "COMP_CWORD": "2"}),
        ("fish", {"COMP_WORDS": "mlx-magistral use na", "COMP_CWORD": "na"}),
    ],
)
def test_tab_knows_models_and_the_script_loads(
    programs: Path, shell: str, words: dict[str, str]
) -> None:
    asked = environment(programs, _MLX_MAGISTRAL_COMPLETE=f"{shell}_complete", **words)
    result = subprocess.run(["mlx-magistral"], env=asked, capture_output=True, text=True)
    assert "nano" in result.stdout, result.stderr
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = subprocess.run(
        ["mlx-magistral", "completion", shell],
        env=environment(programs),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    loaded = subprocess.run(
        [shell, "-n"], input=script, env=environment(programs), capture_output=True, text=True
    )
    assert loaded.returncode == 0, loaded.stderr


def test_doctor_in_a_narrow_dumb_window_has_no_escape_codes(programs: Path) -> None:
    output, status = pexpect.run(
        f"{programs / 'mlx-magistral'} doctor",
        env=environment(programs, TERM="dumb", NO_COLOR="1", COLUMNS="40"),
        withexitstatus=True,
        timeout=60,
    )
    assert status == 0, output
    assert b"\x1b" not in output
    assert b"tokenizer: 6 control ids" in output


def test_settings_reach_generate_and_a_broken_file_does_not_stop_config(
    programs: Path, own_settings: Path
) -> None:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["mlx-magistral", *arguments],
            env=environment(programs),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )

    assert run("config", "set", "max_tokens", "3").returncode == 0
    assert run("use", "nano").returncode == 0
    answer = run("generate", "What is 37 + 48?", "--json")
    assert '"completion_tokens": 3' in answer.stdout
    assert "No --model given" not in answer.stderr
    own_settings.write_text("max_tokens = \n")
    broken = run("generate", "x")
    assert broken.returncode == 1
    assert str(own_settings) in broken.stderr and broken.stderr.count("\n") == 1
    assert run("config", "path").stdout.strip() == str(own_settings)
    assert "is not TOML" in run("doctor").stdout


def test_a_default_that_is_deleted_is_no_default_any_more(programs: Path) -> None:
    def run(*arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        result = subprocess.run(
            ["mlx-magistral", *arguments], env=environment(programs), capture_output=True, text=True
        )
        assert result.returncode == code, result.stderr
        return result

    folder = programs.parent / "model"
    for is_known in (True, False):
        shutil.copytree(nano_folder(), folder)
        run("use", str(folder))
        assert f"ok    default model: {folder}\n" in run("doctor").stdout
        if is_known:
            assert "nano again" in run("rm", str(folder), "--yes").stderr
            assert "ok    default model: nano\n" in run("doctor").stdout
        else:
            shutil.rmtree(folder)
            assert f"warn  default model: {folder} is not on this disk\n" in run("doctor").stdout


def test_without_a_command_the_help_is_shown_and_no_error(programs: Path) -> None:
    result = subprocess.run(
        ["mlx-magistral"], env=environment(programs), capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr.startswith("Usage: mlx-magistral") and "error" not in result.stderr[:9]
    assert result.stderr.endswith("on the same text.\n")
