"""Read a tekken.json into mistral-common's Tekkenizer, in half the time of its own loader.

Imports mistral_common, so import this module only when a tokenizer is really wanted. What the ids
mean to us is tokenizer.py's business.
"""

import json
from pathlib import Path
from typing import Any

from mistral_common.tokens.tokenizers.base import TokenizerVersion
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from mlx_magistral.errors import TokenizerError

_DOWNLOAD_AGAIN = "Download the file again from the model's repository."


class LazyTekkenizer(Tekkenizer):
    """A Tekkenizer that builds its list of all pieces when it is first asked for.

    The base class decodes every id while it is being constructed: half of the load, for a list
    that neither encoding nor decoding reads.
    """

    _is_constructed = False

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._pieces: list[str] = []
        self._is_constructed = True

    def id_to_piece(self, token_id: int) -> str:
        """The piece of an id; during construction nothing, which is what saves the time."""
        return super().id_to_piece(token_id) if self._is_constructed else ""

    def vocab(self) -> list[str]:
        """All pieces in id order, as the base class gives them."""
        if not self._pieces:
            self._pieces = [self.id_to_piece(token) for token in range(self.n_words)]
        return self._pieces


def load_tekkenizer(path: Path) -> LazyTekkenizer:
    """Build the tokenizer from ``path``; raises TokenizerError naming what is wrong with it."""
    data = _read_json(path)
    try:
        config = data["config"]
        _require_v13(config["version"], path)
        names = {entry["token_str"] for entry in data["special_tokens"]}
        for name in ("[THINK]", "[/THINK]"):
            if name not in names:
                raise TokenizerError(
                    f"{path} has no control token {name}, so it is not a reasoning model's. "
                    "Take the tekken.json of Magistral-Small-2507."
                )
        return LazyTekkenizer(
            vocab=data["vocab"],
            special_tokens=data["special_tokens"],
            pattern=config["pattern"],
            vocab_size=config["default_vocab_size"],
            num_special_tokens=config["default_num_special_tokens"],
            version=TokenizerVersion.v13,
            name=path.stem,
            _path=path,
        )
    except KeyError as error:
        raise TokenizerError(f"{path} lacks {error}. {_DOWNLOAD_AGAIN}") from error
    except (AssertionError, TypeError, ValueError, AttributeError) as error:
        # mistral-common asserts with the whole vocabulary as message: say that it is damaged only.
        raise TokenizerError(
            f"{path} is damaged: its ranks, bytes and sizes do not fit together. {_DOWNLOAD_AGAIN}"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise TokenizerError(
            f"No tekken.json in {path.parent}. A Magistral repository has one at its top: "
            "copy it next to the weights."
        ) from error
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise TokenizerError(f"{path} is not JSON ({error}). {_DOWNLOAD_AGAIN}") from error
    if not isinstance(data, dict):
        raise TokenizerError(f"{path} holds no JSON object. {_DOWNLOAD_AGAIN}")
    return data


def _require_v13(version: str, path: Path) -> None:
    if version == "v13":
        return
    hint = " (Magistral Small 2506, which writes <think> as plain text)" if version == "v11" else ""
    raise TokenizerError(
        f"{path} is a {version} tokenizer{hint}, and [THINK] ids need v13. "
        "Use Magistral-Small-2507."
    )
