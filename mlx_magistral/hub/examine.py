"""The one look at a model that every command takes first: all that can be refused, is refused here.

From small files and the headers of weights alone, of a model on this disk or still at the hub, so
before anything large is downloaded, read or written.
"""

from dataclasses import dataclass
from pathlib import Path

from mlx_magistral.errors import CheckpointError, DamagedFileError, TokenizerError
from mlx_magistral.hub.cache import hub_origin
from mlx_magistral.hub.download import OnProgress, download
from mlx_magistral.hub.files import no_weights, side_files
from mlx_magistral.hub.remote_files import RemoteFiles
from mlx_magistral.hub.repository import Repository, inspect_repository
from mlx_magistral.hub.resolve import find_local
from mlx_magistral.hub.tokenizer_source import TEKKEN, find_tokenizer
from mlx_magistral.model.checkpoint import Checkpoint, open_checkpoint, read_checkpoint
from mlx_magistral.model.weight_files import HF_STEM, NATIVE_STEM, index_name
from mlx_magistral.text.tekken_file import vocabulary_size


@dataclass(frozen=True)
class Examined:
    """A model that is not refused.

    ``repository`` has the files that are to be fetched, None where all is on this disk; the
    checkpoint's folder is where they will be. ``no_tokenizer`` says why there is none.
    """

    checkpoint: Checkpoint
    repository: Repository | None
    no_tokenizer: str | None = None

    @property
    def folder(self) -> Path:
        """The model's folder, now or after ``fetch``; its small files are there already."""
        return self.checkpoint.folder

    def require_tokenizer(self) -> None:
        """Raise TokenizerError where the model could not be run without ``--tokenizer``."""
        if self.no_tokenizer is not None:
            raise TokenizerError(self.no_tokenizer)

    def fetch(self, on_progress: OnProgress | None = None) -> Path:
        """The folder with all weights in it. Raises HubError."""
        if self.repository is not None:
            download(self.repository, on_progress)
        return self.folder


def examine(
    model: str | Path, *, tokenizer: Path | None = None, reads_tokenizer: bool = True
) -> Examined:
    """Look at a folder, a hub id or ``nano``; ``tokenizer`` is a tekken.json to take instead.

    ``reads_tokenizer=False`` leaves the vocabulary of a model on this disk to whoever loads it.
    Raises ModelNotFoundError, HubError, CheckpointError or TokenizerError saying what is wrong.
    """
    folder = find_local(model)
    if folder is None:
        return _examine_remote(inspect_repository(str(model)), tokenizer)
    try:
        checkpoint = open_checkpoint(folder)
    except DamagedFileError as error:
        if not hub_origin(folder):
            raise
        raise DamagedFileError(f"{error} To mend it: mlx-magistral pull {model}") from error
    tekken = tokenizer or folder / TEKKEN
    if reads_tokenizer and tekken.is_file():
        require_vocabulary(tekken, checkpoint.config.vocab_size, str(model))
    return Examined(checkpoint, None)


def require_vocabulary(tekken: Path, vocab_size: int, name: str) -> None:
    """Raise TokenizerError or CheckpointError unless a tekken.json is one, and of this model."""
    refuse_vocabulary(vocabulary_size(tekken), vocab_size, name)


def refuse_vocabulary(tokens: int, vocab_size: int, name: str) -> None:
    """Raise CheckpointError where a tokenizer has more or fewer tokens than the weights."""
    if tokens != vocab_size:
        raise CheckpointError(
            f"{name}: {TEKKEN} has {tokens:,} tokens and the weights {vocab_size:,}. Take both "
            "from the same repository."
        )


def _examine_remote(repository: Repository, tokenizer: Path | None) -> Examined:
    files = RemoteFiles(repository)
    names = [file.name for file in repository.files]
    if not files.weights(HF_STEM) and not files.weights(NATIVE_STEM):
        raise no_weights(names)
    checkpoint = read_checkpoint(files)
    small = side_files(names)
    weights = {
        tensor.file.relative_to(files.folder).as_posix() for tensor in checkpoint.tensors.values()
    }
    indexes = [index_name(stem) for stem in (HF_STEM, NATIVE_STEM) if _has_stem(weights, stem)]
    wanted = repository.only([*weights, *small, *indexes])
    no_tokenizer = None
    # What is made of the model before its weights are here, such as prompts, reads them.
    for name in small:
        files.read(name)
    if tokenizer is None:
        try:
            tokenizer = find_tokenizer(files.folder)
        except TokenizerError as error:
            no_tokenizer = str(error)
    if tokenizer is not None:
        require_vocabulary(tokenizer, checkpoint.config.vocab_size, repository.name)
    return Examined(checkpoint, wanted, no_tokenizer)


def _has_stem(weights: set[str], stem: str) -> bool:
    return any(name.split("/")[-1].startswith(stem) for name in weights)
