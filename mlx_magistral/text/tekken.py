"""Read a tekken.json into mistral-common's Tekkenizer, in half the time of its own loader.

Imports mistral_common, so import this module only when a tokenizer is really wanted. What the ids
mean to us is tokenizer.py's business.
"""

from pathlib import Path
from typing import Any

from mistral_common.tokens.tokenizers.base import TokenizerVersion
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from mlx_magistral.errors import TokenizerError
from mlx_magistral.text.tekken_file import DOWNLOAD_AGAIN, read_tekken


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
    data = read_tekken(path)
    try:
        config = data["config"]
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
        raise TokenizerError(f"{path} lacks {error}. {DOWNLOAD_AGAIN}") from error
    except (AssertionError, TypeError, ValueError, AttributeError) as error:
        # mistral-common asserts with the whole vocabulary as message: say that it is damaged only.
        raise TokenizerError(
            f"{path} is damaged: its ranks, bytes and sizes do not fit together. {DOWNLOAD_AGAIN}"
        ) from error
