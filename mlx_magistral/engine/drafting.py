"""Draft models and heads: loaded, planned for, and checked against the model they guess for.

What a folder holds is told by its config: an EAGLE-3 head, or a whole model of the same vocabulary.
A Mistral folder goes through this project's own loader. Any other architecture needs mlx-lm, and a
tokenizer.json in place of a tekken.json: what counts is that each id stands for the same bytes.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from mlx_magistral.decode.speculation.draft_model import DraftModel
from mlx_magistral.decode.speculation.drafter import Drafter
from mlx_magistral.decode.speculation.head_prefixes import MOST_PREFIXES
from mlx_magistral.decode.speculation.pass_costs import guess_seconds
from mlx_magistral.engine.head_loading import load_head_draft
from mlx_magistral.errors import CheckpointError, MissingExtraError
from mlx_magistral.hub.resolve import resolve_model
from mlx_magistral.memory.sizes import token_kv_bytes
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.checkpoint import Checkpoint, open_checkpoint
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.eagle.reading import is_head_folder, open_head
from mlx_magistral.model.eagle.window import WINDOW_TOKENS
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weight_files import HF_STEM, NATIVE_STEM, has_weights
from mlx_magistral.model.weights import load_model
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer

_OTHER_VOCABULARY = (
    "{name} cannot draft: its id {id} stands for other bytes than the model's. A draft model has "
    "to have the very same vocabulary."
)


class DraftSize(NamedTuple):
    """What a draft takes beside the model: its weights, and of its cache a token."""

    nbytes: int = 0
    token_bytes: float = 0.0


def draft_size(name: str, target: Checkpoint) -> DraftSize:
    """For the memory plan, before anything is read; a draft that is a hub id is downloaded.

    Raises CheckpointError for a head that does not fit its target.
    """
    folder = resolve_model(name)
    if is_head_folder(folder):
        files = open_head(folder, target.config)
        kept = WINDOW_TOKENS * MOST_PREFIXES * files.row_bytes
        return DraftSize(
            files.loaded_bytes(target.quantization is not None) + kept, files.row_bytes
        )
    stem = HF_STEM if has_weights(folder, HF_STEM) else NATIVE_STEM
    weights = sum(path.stat().st_size for path in folder.glob(f"{stem}*.safetensors"))
    return DraftSize(weights, _token_bytes(folder))


def _token_bytes(folder: Path) -> float:
    """Of a whole model; 0 where its config does not say: the plan's reserve has to do then."""
    try:
        return token_kv_bytes(open_checkpoint(folder).config, 16)
    except CheckpointError:
        pass
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        heads = int(config["num_attention_heads"])
        head_dim = config.get("head_dim") or config["hidden_size"] // heads
        kv_heads = config.get("num_key_value_heads") or heads
        return 2.0 * 2 * int(config["num_hidden_layers"]) * int(kv_heads) * int(head_dim)
    except (OSError, ValueError, KeyError, TypeError):
        return 0.0


def load_draft(
    name: str, tokenizer: Tokenizer, target: Transformer, config: ModelConfig
) -> Drafter:
    """A folder or hub id of a head or a model, or ``nano``, as the draft of a loaded model.

    Finds out what a guess costs here, once a machine. Raises CheckpointError where vocabulary or
    shape are another's, and MissingExtraError where mlx-lm is needed and not there.
    """
    folder = resolve_model(name)
    if is_head_folder(folder):
        return load_head_draft(folder, target, config)
    _require_same_vocabulary(name, folder, tokenizer)
    model, new_cache = _read(folder)
    return DraftModel(model, new_cache, guess_seconds(model, new_cache()))


def _require_same_vocabulary(name: str, folder: Path, tokenizer: Tokenizer) -> None:
    if (folder / "tekken.json").is_file():
        other = load_tokenizer(folder)
        if other.vocab_size != tokenizer.vocab_size or (
            other.control_count != tokenizer.control_count
        ):
            raise CheckpointError(
                f"{name} cannot draft: it has {other.vocab_size:,} ids and the model "
                f"{tokenizer.vocab_size:,}."
            )
        find: Callable[[int], bytes | None] = other.id_to_bytes
    elif (folder / "tokenizer.json").is_file():
        find = _hf_vocabulary(folder / "tokenizer.json").get
    else:
        raise CheckpointError(f"{name} has neither tekken.json nor tokenizer.json.")
    for id in range(tokenizer.control_count, tokenizer.vocab_size):
        if find(id) != tokenizer.id_to_bytes(id):
            raise CheckpointError(_OTHER_VOCABULARY.format(name=name, id=id))


def _hf_vocabulary(path: Path) -> dict[int, bytes]:
    """Bytes by id of a byte-level BPE in a tokenizer.json."""
    try:
        vocabulary = json.loads(path.read_text("utf-8"))["model"]["vocab"]
        letters = _byte_letters()
        return {
            id: bytes(letters[letter] for letter in piece)
            for piece, id in vocabulary.items()
            if all(letter in letters for letter in piece)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is no byte-level vocabulary.") from error


def _byte_letters() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes (openai/gpt-2, encoder.py, bytes_to_unicode)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in printable)
    return letters | {chr(0x100 + place): byte for place, byte in enumerate(others)}


def _read(folder: Path) -> tuple[Any, Callable[[], list[Any]]]:
    """The model, and what makes an empty cache for it."""
    try:
        open_checkpoint(folder)
    except CheckpointError:
        return _read_with_mlx_lm(folder)
    model, _ = load_model(folder)
    return model, lambda: list(make_cache(model))


def _read_with_mlx_lm(folder: Path) -> tuple[Any, Callable[[], list[Any]]]:
    try:
        from mlx_lm.models.cache import make_prompt_cache
        from mlx_lm.utils import load_model as load_with_mlx_lm
    except ModuleNotFoundError as error:
        raise MissingExtraError("Draft models of another architecture", "draft") from error
    try:
        model = load_with_mlx_lm(folder)[0]
    except (ValueError, KeyError, FileNotFoundError) as error:
        raise CheckpointError(f"mlx-lm cannot load the draft model {folder}: {error}") from error
    return model, lambda: list(make_prompt_cache(model))
