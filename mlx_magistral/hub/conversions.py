"""What the hub has of Magistral in MLX's format, each looked at by its headers: 0.1 MB a file.

Nobody's repository is known here by name. The hub is asked for those whose card names Mistral's
own as their base; whether one fits a machine is for the caller to say.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mlx_magistral.errors import MagistralError
from mlx_magistral.hub.errors import clear_hub_errors
from mlx_magistral.hub.remote_files import RemoteFiles
from mlx_magistral.hub.repository import inspect_repository
from mlx_magistral.hub.tokenizer_source import TEKKEN
from mlx_magistral.model.checkpoint import Checkpoint, read_checkpoint

# Newest first.
BASES = ("mistralai/Magistral-Small-2509", "mistralai/Magistral-Small-2507")

_LIBRARY = "mlx"
_MOST_OF_A_BASE = 10
_AT_ONCE = 4


@dataclass(frozen=True)
class Conversion:
    """A repository of a Mistral; ``has_tekken`` is whether its tokenizer is beside the weights."""

    name: str
    base: str
    downloads: int
    checkpoint: Checkpoint
    has_tekken: bool

    @property
    def made_by(self) -> str:
        """Whose repository it is."""
        return self.name.split("/")[0]

    @property
    def tokenizer(self) -> str:
        """Where its tekken.json is."""
        return TEKKEN if self.has_tekken else f"{TEKKEN} of {self.base}"


@dataclass(frozen=True)
class PassedOver:
    """A repository that is not offered, and why."""

    name: str
    reason: str


def find_conversions() -> tuple[list[Conversion], list[PassedOver]]:
    """Conversions of the newest base first, the most downloaded of each first, and the others.

    Raises HubError where the hub cannot be asked.
    """
    listed = [found for base in BASES for found in _list(base)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        looked = list(pool.map(_look, listed))
    found = [each for each in looked if isinstance(each, Conversion)]
    return found, [each for each in looked if isinstance(each, PassedOver)]


@dataclass(frozen=True)
class _Listed:
    name: str
    base: str
    downloads: int


def _list(base: str) -> list[_Listed]:
    from huggingface_hub import HfApi

    with clear_hub_errors(f"conversions of {base}", "listed"):
        found = list(
            HfApi().list_models(
                filter=[_LIBRARY, f"base_model:{base}"],
                sort="downloads",
                limit=_MOST_OF_A_BASE,
                expand=["downloads"],
            )
        )
    ranked = sorted(found, key=lambda each: -(each.downloads or 0))
    return [_Listed(each.id, base, each.downloads or 0) for each in ranked]


def _look(listed: _Listed) -> Conversion | PassedOver:
    try:
        files = RemoteFiles(inspect_repository(listed.name))
        checkpoint = read_checkpoint(files)
    except MagistralError as error:
        return PassedOver(listed.name, str(error).splitlines()[0])
    has_tekken = files.has(TEKKEN)
    return Conversion(listed.name, listed.base, listed.downloads, checkpoint, has_tekken)
