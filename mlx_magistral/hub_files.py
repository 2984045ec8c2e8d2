"""Which files of a repository a model needs: one weight format, and the small ones beside it."""

import fnmatch

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
