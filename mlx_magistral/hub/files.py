"""Which files of a repository a model needs: one weight format, and the small ones beside it."""

import fnmatch
import json
from pathlib import Path

from mlx_magistral.errors import HubError

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
WEIGHT_FORMATS = (
    ("model*.safetensors", "model.safetensors.index.json"),
    ("consolidated*.safetensors", "consolidated.safetensors.index.json"),
)


def has_all_weights(folder: Path) -> bool:
    """Whether all files of one format are here: those its index names, or any where it has none."""
    return any(_is_whole(folder, *form) for form in WEIGHT_FORMATS)


def files_to_download(repository_files: list[str]) -> list[str]:
    """Choose what a repository must give: the original one holds the same 47 GB twice.

    Raises HubError when it holds neither format as safetensors.
    """
    top_level = [name for name in repository_files if "/" not in name]
    for patterns in WEIGHT_FORMATS:
        weights = [
            name for name in top_level if any(fnmatch.fnmatch(name, each) for each in patterns)
        ]
        if any(name.endswith(".safetensors") for name in weights):
            small = [name for name in SIDE_FILES if name in top_level]
            if "tekken.json" not in small and CARD in top_level:
                small.append(CARD)  # names the base model, whose tokenizer this one has
            return sorted(weights) + small
    raise HubError(
        "The repository holds no model*.safetensors and no consolidated*.safetensors. Choose one "
        "in the HF, native Mistral or MLX format."
    )


def _is_whole(folder: Path, pattern: str, index: str) -> bool:
    # A link of the cache may lead nowhere.
    if not any(file.is_file() for file in folder.glob(pattern)):
        return False
    if not (folder / index).is_file():
        return True
    try:
        places = json.loads((folder / index).read_bytes())["weight_map"]
        return all((folder / str(name)).is_file() for name in places.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
