"""Which files of a repository a model needs: one weight format, and the small ones beside it."""

import fnmatch
import json
import re
from collections.abc import Iterable
from pathlib import Path

from mlx_magistral.errors import CheckpointError, HubError
from mlx_magistral.model.weight_files import (
    HF_STEM,
    NATIVE_STEM,
    index_name,
    names_in,
    other_weights,
)

# Small files that any of the formats needs; tekken.json is the one tokenizer we read.
SIDE_FILES = (
    "config.json",
    "params.json",
    "generation_config.json",
    "conversion.json",
    "tekken.json",
    "SYSTEM_PROMPT.txt",
)
CARD = "README.md"
# In order of preference: sharded HF files resume shard by shard and need no q/k permutation.
WEIGHT_FORMATS = tuple(
    (f"{stem}*.safetensors", index_name(stem)) for stem in (HF_STEM, NATIVE_STEM)
)
_SHARD = re.compile(r"-(?P<number>\d+)-of-(?P<count>\d+)\.safetensors$")


def has_all_weights(folder: Path) -> bool:
    """Whether all weights of one format are here.

    By names and an index where those are clear, else by the headers.
    """
    if any(_is_whole(folder, *form) for form in WEIGHT_FORMATS):
        return True
    if not any(any(folder.glob(pattern)) for pattern, _ in WEIGHT_FORMATS):
        return False
    from mlx_magistral.model.checkpoint import open_checkpoint

    try:
        open_checkpoint(folder)
    except CheckpointError:
        return False
    return True


def files_to_download(repository_files: list[str]) -> list[str]:
    """Choose what a repository must give: the original one holds the same 47 GB twice.

    Goes by names alone, for a model that is not checked here. Raises HubError when it holds neither
    format as safetensors.
    """
    top_level = [name for name in repository_files if "/" not in name]
    for patterns in WEIGHT_FORMATS:
        weights = [
            name for name in top_level if any(fnmatch.fnmatch(name, each) for each in patterns)
        ]
        if any(name.endswith(".safetensors") for name in weights):
            return sorted(weights) + side_files(top_level)
    raise no_weights(repository_files)


def side_files(repository_files: Iterable[str]) -> list[str]:
    """The small files that a model needs beside its weights and their index."""
    present = set(repository_files)
    small = [name for name in SIDE_FILES if name in present]
    if "tekken.json" not in present and CARD in present:
        small.append(CARD)  # names the base model, whose tokenizer this one has
    return small


def no_weights(repository_files: Iterable[str]) -> HubError:
    """What to tell of a repository without safetensors of either format."""
    return HubError(
        "The repository holds no model*.safetensors and no consolidated*.safetensors."
        f"{other_weights(repository_files)} Choose one in the HF, native Mistral or MLX format."
    )


def _is_whole(folder: Path, pattern: str, index: str) -> bool:
    """Whether the names alone say so.

    That is by a whole file, by the numbers of shards, or by an index: all that it places weights of
    the text model in. A link of the cache may lead nowhere.
    """
    if (folder / pattern.replace("*", "")).is_file():
        return True
    shards = [found for path in folder.glob(pattern) if (found := _SHARD.search(path.name))]
    if shards and not (folder / index).exists():
        count = int(shards[0]["count"])
        return len({each["number"] for each in shards}) == count
    try:
        named = names_in(json.loads((folder / index).read_bytes()).get("weight_map"))
    except (OSError, ValueError, AttributeError):
        return False
    return bool(named) and all((folder / name).is_file() for name in named)
