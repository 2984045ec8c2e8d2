"""The user's settings: one small TOML file in the platform's place, and what it may hold.

Read at every start of the program, so nothing heavy is imported here. ``MLX_MAGISTRAL_CONFIG``
names another file. Comments and order of the file survive a change made by the program.
"""

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.errors import SettingsError, UsageError

CONFIG_VARIABLE = "MLX_MAGISTRAL_CONFIG"

Value = str | int | float | bool


def _switch(text: str) -> bool:
    values = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
    return values[text.lower()]


@dataclass(frozen=True)
class Setting:
    """One key: how its text is read, the option of a command it stands for, and its help."""

    read: Callable[[str], Value]
    option: str
    help: str
    choices: tuple[Value, ...] = ()
    least: float | None = None
    is_list: bool = False  # several, with commas between them


SETTINGS: Mapping[str, Setting] = {
    "model": Setting(str, "model", "a folder, a hub id or nano"),
    "temperature": Setting(float, "temperature", "0 is greedy", least=0),
    "top_p": Setting(float, "top_p", "nucleus mass, 0 to 1", least=0),
    "seed": Setting(int, "seed", "same seed, same ids"),
    "max_tokens": Setting(int, "max_tokens", "thinking and answer together", least=1),
    "think": Setting(str, "think", "how thinking is shown", ("full", "short", "hide")),
    "think_budget": Setting(int, "think_budget", "ids of thinking at most", least=0),
    "kv_bits": Setting(int, "kv_bits", "bits of the KV cache", (16, 8, 4)),
    "context": Setting(int, "context_tokens", "prompt and reply together, in tokens", least=1),
    "reuse_prefixes": Setting(_switch, "reuse_prefixes", "keep the KV of prompts on disk"),
    "system": Setting(str, "system", "text added after the official system prompt"),
    "render": Setting(_switch, "render", "render Markdown on a terminal"),
    "mcp": Setting(str, "mcp", "files of MCP servers, or names in mcp.json", is_list=True),
    "mcp_tools": Setting(str, "mcp_tools", "which of their tools", is_list=True),
}


def config_file() -> Path:
    """The file's path, whether it is there or not."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_config_path

    return user_config_path("mlx-magistral", appauthor=False) / "config.toml"


def read_settings() -> dict[str, Value]:
    """All that the file sets; empty where there is no file.

    Raises SettingsError naming file and key where something in it cannot be used.
    """
    path = config_file()
    values = _parse(path, _read_text(path))
    for key, value in values.items():
        _check(key, value, path)
    return values


def option_defaults() -> dict[str, Value | list[str]]:
    """The settings as defaults of a command's options, by parameter name."""
    return {
        SETTINGS[key].option: _listed(str(value)) if SETTINGS[key].is_list else value
        for key, value in read_settings().items()
    }


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def parse_value(key: str, text: str) -> Value:
    """The value that ``text`` means for ``key``. Raises UsageError."""
    setting = _known(key)
    try:
        value = setting.read(text)
    except (ValueError, KeyError) as error:
        raise UsageError(f"{key} is {text!r}; it takes {_expected(setting)}.") from error
    if not _is_allowed(setting, value):
        raise UsageError(f"{key} is {text!r}; it takes {_expected(setting)}.")
    return value


def change_setting(key: str, value: Value | None) -> None:
    """Write ``key``, or take it out where ``value`` is None; other lines stay as they are.

    Raises UsageError for an unknown key, SettingsError where the file is broken or not writable.
    """
    _known(key)
    path = config_file()
    text = _read_text(path)
    expected = {name: each for name, each in _parse(path, text).items() if name != key}
    lines = [line for line in text.splitlines() if not re.match(rf"\s*{key}\s*=", line)]
    if value is not None:
        expected[key] = value
        # A key after a [table] header would belong to it.
        lines.insert(0, f"{key} = {_encode(value)}")
    changed = "".join(f"{line}\n" for line in lines)
    if _parse(path, changed) != expected:
        raise SettingsError(f"{path} holds {key} in a form only an editor can change. Edit it.")
    write_text_atomically(path, changed)


def write_text_atomically(path: Path, text: str) -> None:
    """Replace a small file so that a reader sees the old or the new one, whole."""
    draft = None
    try:
        # Through a link, so that a file kept elsewhere stays there.
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as stream:
            draft = Path(stream.name)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    except OSError as error:
        if draft is not None:
            draft.unlink(missing_ok=True)
        raise SettingsError(f"{path} cannot be written ({error.strerror}).") from error


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read ({error}). Mend or remove it.") from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    if not text.strip():
        return {}
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}. Mend the line, or remove it.") from error


def _known(key: str) -> Setting:
    if key not in SETTINGS:
        raise UsageError(f"There is no setting {key}. Known are {', '.join(SETTINGS)}.")
    return SETTINGS[key]


def _check(key: str, value: Any, path: Path) -> None:
    setting = SETTINGS.get(key)
    if setting is None:
        raise SettingsError(
            f"{path} sets {key}, and there is no such setting. Known are {', '.join(SETTINGS)}."
        )
    kinds: Any = {str: str, int: int, float: (int, float), _switch: bool}[setting.read]
    is_kind = isinstance(value, kinds) and (setting.read is _switch or not isinstance(value, bool))
    if not is_kind or not _is_allowed(setting, value):
        raise SettingsError(
            f"{path} sets {key} to {value!r}, and it takes {_expected(setting)}. "
            f"Run: mlx-magistral config set {key} VALUE"
        )


def _is_allowed(setting: Setting, value: Any) -> bool:
    if setting.choices:
        return bool(value in setting.choices)
    if setting.least is not None and not setting.least <= value < float("inf"):
        return False
    return bool(value != "")


def _expected(setting: Setting) -> str:
    if setting.choices:
        return " or ".join(str(choice) for choice in setting.choices)
    kind = {str: "text", int: "a whole number", float: "a number", _switch: "true or false"}
    least = f" from {setting.least:g} on" if setting.least is not None else ""
    return kind[setting.read] + least


def _encode(value: Value) -> str:
    """As TOML; a JSON string is a TOML one but for DEL."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower()
