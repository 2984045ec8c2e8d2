"""Which text a conversion or a comparison runs on, from what the command line was given."""

from pathlib import Path

from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer

from .built_in import built_in_documents
from .data import TokenText, read_documents, token_sequences

CALIBRATION_TOKENS = 65536


def choose_text(
    folder: Path,
    file: Path | None,
    *,
    tokenizer: Path | None = None,
    limit: int = CALIBRATION_TOKENS,
) -> TokenText:
    """Token rows from ``file``, or from the built-in text, encoded with a model folder's tokenizer.

    ``tokenizer`` is a tekken.json to take instead. A file of token ids alone needs none. Raises
    ConversionError.
    """
    documents = built_in_documents() if file is None else read_documents(file)
    return token_sequences(documents, _tokenizer(folder, tokenizer), limit=limit)


def _tokenizer(folder: Path, file: Path | None) -> Tokenizer | None:
    if file is None and not (folder / "tekken.json").exists():
        return None
    return load_tokenizer(folder, file)
