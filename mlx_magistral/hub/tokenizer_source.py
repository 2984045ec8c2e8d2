"""Where a model's tekken.json is: beside its weights, or in the repository it was made from.

Conversions by others often hold a tokenizer.json alone, which we do not read: it has no rules for
[THINK]. Their card names the base model, and that has the one file that counts.
"""

from pathlib import Path

from mlx_magistral.errors import MagistralError, TokenizerError
from mlx_magistral.hub.download import silent_bar
from mlx_magistral.hub.errors import clear_hub_errors, silent_client
from mlx_magistral.hub.files import CARD

TEKKEN = "tekken.json"


def find_tokenizer(folder: Path) -> Path:
    """The tekken.json of a model folder, fetched from its base model's repository if need be.

    Raises TokenizerError where the card names no base model or that one has no such file.
    """
    beside = folder / TEKKEN
    if beside.is_file():
        return beside
    bases = _base_models(folder / CARD)
    reason = f"its {CARD} names no base model" if not bases else ""
    for base in bases:
        try:
            return _fetch(base)
        except MagistralError as error:
            reason = str(error)
    raise TokenizerError(
        f"No {TEKKEN} in {folder}, and {reason.rstrip('.')}. Give the file of the model it was "
        f"made from: --tokenizer {TEKKEN}, or copy it beside the weights."
    )


def _base_models(card: Path) -> list[str]:
    from huggingface_hub import ModelCard

    if not card.is_file():
        return []
    try:
        with silent_client():
            named = ModelCard.load(card, ignore_metadata_errors=True).data.get("base_model")
    except ValueError:  # front matter that is no YAML
        return []
    named = [named] if isinstance(named, str) else named
    return [base for base in named if isinstance(base, str)] if isinstance(named, list) else []


def _fetch(base: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    with clear_hub_errors(base):
        try:
            return Path(hf_hub_download(base, TEKKEN, local_files_only=True))
        except LocalEntryNotFoundError:
            pass
        try:
            return Path(hf_hub_download(base, TEKKEN, tqdm_class=silent_bar()))
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError as error:
            raise TokenizerError(f"its base model {base} has none either") from error
