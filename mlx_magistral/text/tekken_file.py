"""A tekken.json as a file: what it must say to be a reasoning model's vocabulary.

Imports no mistral_common, so that a model is refused before anything of it is downloaded.
"""

import json
from pathlib import Path
from typing import Any

from mlx_magistral.errors import TokenizerError
from mlx_magistral.lfs_pointer import is_lfs_pointer, lfs_advice

DOWNLOAD_AGAIN = "Download the file again from the model's repository."
_THINKING = ("[THINK]", "[/THINK]")


def read_tekken(path: Path) -> dict[str, Any]:
    """The content of a v13 file with the thinking tokens; raises TokenizerError naming the file."""
    data = _read_json(path)
    try:
        _require_v13(data["config"]["version"], path)
        names = {entry["token_str"] for entry in data["special_tokens"]}
    except KeyError as error:
        raise TokenizerError(f"{path} lacks {error}. {DOWNLOAD_AGAIN}") from error
    except TypeError as error:
        raise TokenizerError(f"{path} is damaged. {DOWNLOAD_AGAIN}") from error
    for name in _THINKING:
        if name not in names:
            raise TokenizerError(
                f"{path} has no control token {name}, so it is not a reasoning model's. "
                "Take the tekken.json of Magistral-Small-2507."
            )
    return data


def vocabulary_size(path: Path) -> int:
    """How many tokens a tekken.json has; raises as read_tekken does."""
    size = read_tekken(path)["config"].get("default_vocab_size")
    if not isinstance(size, int):
        raise TokenizerError(f"{path} lacks 'default_vocab_size'. {DOWNLOAD_AGAIN}")
    return size


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
        if is_lfs_pointer(content):
            raise TokenizerError(lfs_advice(path))
        data = json.loads(content)
    except FileNotFoundError as error:
        raise TokenizerError(
            f"No tekken.json in {path.parent}. A Magistral repository has one at its top: "
            "copy it next to the weights."
        ) from error
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise TokenizerError(f"{path} is not JSON ({error}). {DOWNLOAD_AGAIN}") from error
    if not isinstance(data, dict):
        raise TokenizerError(f"{path} holds no JSON object. {DOWNLOAD_AGAIN}")
    return data


def _require_v13(version: str, path: Path) -> None:
    if version == "v13":
        return
    hint = " (Magistral Small 2506, which writes <think> as plain text)" if version == "v11" else ""
    raise TokenizerError(
        f"{path} is a {version} tokenizer{hint}, and [THINK] ids need v13. "
        "Use Magistral-Small-2507."
    )
