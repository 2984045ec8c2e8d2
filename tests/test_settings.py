"""The settings file: what it takes, what it refuses, and that a change keeps the rest of it."""

import tomllib
from pathlib import Path

import pytest

from mlx_magistral.errors import SettingsError, UsageError
from mlx_magistral.settings import (
    change_setting,
    config_file,
    option_defaults,
    parse_value,
    read_settings,
)


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLX_MAGISTRAL_CONFIG", str(tmp_path / "somewhere" / "config.toml"))
    return tmp_path / "somewhere" / "config.toml"


def test_no_file_is_no_settings(path: Path) -> None:
    assert read_settings() == {}
    assert not path.exists()


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("temperature", "0.5", 0.5),
        ("max_tokens", "512", 512),
        ("think", "short", "short"),
        ("render", "yes", True),
        ("system", 'quote " back \\ line\nend \x7f é', 'quote " back \\ line\nend \x7f é'),
    ],
)
def test_what_is_set_is_read_again(key: str, text: str, value: object) -> None:
    change_setting(key, parse_value(key, text))
    assert read_settings() == {key: value}


def test_a_change_keeps_comments_and_other_keys(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("# mine\ntop_p = 0.9 # less\ntemperature = 1\n")
    change_setting("temperature", 0.2)
    assert read_settings() == {"top_p": 0.9, "temperature": 0.2}
    assert "# mine\ntop_p = 0.9 # less\n" in path.read_text()
    change_setting("temperature", None)
    assert path.read_text() == "# mine\ntop_p = 0.9 # less\n"
    assert [each.name for each in path.parent.iterdir()] == ["config.toml"]


def test_a_form_that_lines_cannot_change_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    text = 'system = """\ntemperature = 2\n"""\n'
    path.write_text(text)
    with pytest.raises(SettingsError, match="only an editor"):
        change_setting("temperature", 0.5)
    assert path.read_text() == text


def test_a_link_to_a_file_elsewhere_stays_a_link(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles.toml"
    kept.write_text("top_p = 0.9\n")
    path.parent.mkdir()
    path.symlink_to(kept)
    change_setting("seed", 1)
    assert path.is_symlink()
    assert tomllib.loads(kept.read_text()) == {"top_p": 0.9, "seed": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("temperature = ", "is not TOML"),
        ('temperature = "warm"', "temperature to 'warm', and it takes a number"),
        ("temperature = true", "temperature to True"),
        ("kv_bits = 5", "16 or 8 or 4"),
        ("color = 1", "sets color, and there is no such setting"),
    ],
)
def test_a_broken_file_is_named_with_what_is_wrong(path: Path, text: str, expected: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(SettingsError, match=expected) as caught:
        read_settings()
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "text"),
    [("temperature", "warm"), ("temperature", "nan"), ("think", "loud"), ("model", "")]
    + [("kv_bits", "5"), ("render", "perhaps"), ("max_tokens", "0"), ("colour", "red")],
)
def test_a_value_that_cannot_be_is_refused(key: str, text: str) -> None:
    with pytest.raises(UsageError):
        parse_value(key, text)


def test_defaults_go_by_the_options_parameter() -> None:
    change_setting("context", 8192)
    assert option_defaults() == {"context_tokens": 8192}


def test_the_platforms_place_is_used_where_no_file_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("MLX_MAGISTRAL_CONFIG")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert tmp_path in config_file().parents
    assert config_file().parts[-2:] == ("mlx-magistral", "config.toml")
