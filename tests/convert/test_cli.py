"""The convert and verify commands: one line out, one line of error, the right exit code."""

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mlx_magistral.cli.main import main
from mlx_magistral.hub.resolve import nano_folder

_MIX = ("--calibration", "IDS", "--mix", "auto", "--bits-per-weight")


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_convert_then_verify(native_folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    result = _run("convert", native_folder, output, "--bits", 4, "--group-size", 32)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{output}: ")
    assert "5.0" in result.stdout
    assert "peak memory" in result.stdout
    assert ", 1 shard;" in result.stderr
    whole = json.loads(_run("verify", output, "--json").stdout)
    assert whole == {"folder": str(output), "is_whole": True, "findings": []}
    result = _run("verify", output, "--source", native_folder)
    assert result.exit_code == 0, result.output
    assert "as it was written" in result.stdout


def test_an_output_without_a_tokenizer_is_warned_of(native_folder: Path, tmp_path: Path) -> None:
    tekken = nano_folder() / "tekken.json"
    refused = _run("convert", native_folder, tmp_path / "out", "--tokenizer", tekken)
    assert refused.exit_code == 1 and "1,024 tokens and the weights 192" in refused.stderr
    bare = tmp_path / "nano-without"
    shutil.copytree(nano_folder(), bare)
    (bare / "tekken.json").unlink()
    result = _run("convert", bare, tmp_path / "out", "--tokenizer", tekken)
    assert result.exit_code == 0 and "warning" not in result.stderr
    result = _run("convert", native_folder, tmp_path / "other")
    assert "warning: there is no tekken.json beside the source" in result.stderr
    assert "--tokenizer FILE" in result.stderr


def test_verify_names_the_damage_and_exits_1(native_folder: Path, tmp_path: Path) -> None:
    _run("convert", native_folder, tmp_path / "out", "--bits", 8)
    (tmp_path / "out" / "params.json").write_text("{}")
    result = _run("verify", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "params.json: differs from what was written\n"


def test_convert_calibrated_with_a_mix(native_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "ids.jsonl"
    data.write_text(json.dumps({"tokens": [token % 192 for token in range(0, 4096, 7)]}))
    options = ["--recipe", "calibrated", "--mix", "auto", "--bits-per-weight", 5]
    result = _run("convert", native_folder, tmp_path / "out", *options, "--calibration", data)
    assert result.exit_code == 0, result.output
    assert "KL to the source" in result.stdout


def test_compare_prints_a_table_bars_or_json(native_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "ids.jsonl"
    data.write_text(json.dumps({"tokens": list(range(64))}))
    _run("convert", native_folder, tmp_path / "out", "--bits", 8)
    arguments = ["compare", native_folder, tmp_path / "out", "--data", data]
    result = _run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == ["tokens", "64"]
    assert "layer" not in result.stdout
    verdict = r"A and B are hardly apart: the likeliest next token is the same in [\d.]+% of the "
    assert re.match(verdict, result.stdout.splitlines()[-1]), result.stdout
    table = json.loads(_run(*arguments, "--json").stdout)
    assert 0 < table["KL mean"] < 0.01
    assert len(table["layer errors"]) == 3


@pytest.mark.parametrize("columns", [80, 40])
def test_compare_plots_the_error_of_each_layer(
    native_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    data = tmp_path / "ids.jsonl"
    data.write_text(json.dumps({"tokens": list(range(64))}))
    _run("convert", native_folder, tmp_path / "out", "--bits", 8)
    result = _run("compare", native_folder, tmp_path / "out", "--data", data, "--plot")
    assert result.exit_code == 0, result.output
    errors = json.loads(
        _run("compare", native_folder, tmp_path / "out", "--data", data, "--json").stdout
    )["layer errors"]
    rows = [line for line in result.stdout.splitlines() if "\N{FULL BLOCK}" in line]
    assert [row.split()[:2] for row in rows] == [[str(n), f"{e:.4g}"] for n, e in enumerate(errors)]
    assert max(map(len, rows)) <= columns
    longest = max(rows, key=lambda row: row.count("\N{FULL BLOCK}"))
    assert longest == rows[errors.index(max(errors))]
    assert longest.count("\N{FULL BLOCK}") >= columns - 16


@pytest.mark.parametrize(
    ("arguments", "message", "exit_code"),
    [
        (["convert", "SOURCE", "out", "--bits", "7"], "'7' is not one of", 2),
        (
            ["convert", "SOURCE", "out", *_MIX, "2.9"],
            "largest groups take 3.268 everywhere",
            2,
        ),
        (["convert", "SOURCE", "out", *_MIX, "12"], "come to 9.009 everywhere", 2),
        (["convert", "SOURCE", "out", *_MIX, "17"], "Choose 9.009 or less, or --bits 16", 2),
        (["convert", "SOURCE", "out", *_MIX, "-1"], "Choose 3.268 or more", 2),
        (["convert", "SOURCE", "out", *_MIX, "nan"], "is nan, which is no amount of bits", 2),
        (["convert", "SOURCE", "out", "--bits", "5", "--mix", "static"], "for --bits 3 and 4", 2),
        (["convert", "SOURCE", "out", "--bits", "4", "--group-size", "63"], "'63' is not one", 2),
        (["convert", "SOURCE", "SOURCE", "--bits", "4"], "exists already", 1),
        (["convert", "EMPTY", "out", "--bits", "4"], "no model folder", 1),
        (["convert", "/nowhere/x/y", "out", "--bits", "4"], "no folder", 1),
        (["convert", "SOURCE", "out", "--bits-per-weight", "5"], "--mix auto needs it", 2),
        (["convert", "SOURCE", "out", "--recipe", "search"], "no tekken.json", 1),
        (["verify", "SOURCE"], "conversion.json", 1),
        (["convert", "/nowhere/x.gguf", "out"], "There is no file /nowhere/x.gguf", 1),
        (
            ["convert", "SOURCE", "out", "--recipe", "search", "--tokenizer", "TEKKEN"],
            "has 1,024 tokens and the weights 192",
            1,
        ),
        (["compare", "SOURCE", "SOURCE", "--tokenizer", "TEKKEN"], "a vocabulary of 192", 1),
    ],
)
def test_bad_input_is_one_line(
    native_folder: Path, tmp_path: Path, arguments: list[str], message: str, exit_code: int
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "ids.jsonl").write_text('{"tokens": [1, 2, 3, 4]}')
    places = {
        "IDS": tmp_path / "ids.jsonl",
        "SOURCE": native_folder,
        "EMPTY": tmp_path / "empty",
        "out": tmp_path / "out",
        "TEKKEN": nano_folder() / "tekken.json",
    }
    result = _run(*(places.get(argument, argument) for argument in arguments))
    assert result.exit_code == exit_code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()
