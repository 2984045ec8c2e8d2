"""Which files hold the whole model, of those that may: decided by their headers."""

from dataclasses import replace

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.inventory import HEAD, Inventory, TensorInfo, take_inventory
from mlx_magistral.model.names import text_name
from mlx_magistral.model.quant_config import QuantConfig
from mlx_magistral.model.safetensors_header import StoredTensor
from mlx_magistral.model.weight_files import (
    HF_STEM,
    NATIVE_STEM,
    ModelFiles,
    index_name,
    named_by_index,
    weight_sets,
)

_COMPARED_BYTES = 1 << 22


def choose_weights(
    files: ModelFiles, stem: str, config: ModelConfig, quantization: QuantConfig | None
) -> Inventory:
    """The first set of the files of a stem that holds the whole model.

    Raises the refusal of the set that the index names, or of the first; a file that the index names
    and that is not there comes first.
    """
    named = set(named_by_index(files, stem))
    refusals: list[tuple[bool, CheckpointError]] = []
    for names in weight_sets(files, stem):
        try:
            return take_inventory(
                _tensors(files, names),
                config,
                quantization,
                is_native=stem == NATIVE_STEM,
                label=files.label,
            )
        except CheckpointError as error:
            refusals.append((set(names) != named, error))
    absent = [name for name in sorted(named) if not files.has(name)]
    if absent:
        raise CheckpointError(
            f"{files.label}/{index_name(stem)} names {absent[0]}, which is not there. "
            "Fetch that file."
        )
    if not refusals:
        raise CheckpointError(f"{files.label} has an index of weights and none of its files.")
    raise min(refusals, key=lambda refusal: refusal[0])[1]


def tied_where_headless(config: ModelConfig, files: ModelFiles) -> ModelConfig:
    """The configuration with the head tied, where none is stored."""
    names = set(files.weights(HF_STEM)) | set(named_by_index(files, HF_STEM))
    tensors = _tensors(files, sorted(name for name in names if files.has(name)))
    has_head = any(text_name(tensor.name) == HEAD for tensor in tensors)
    return config if has_head else replace(config, tie_word_embeddings=True)


def require_equal(head: TensorInfo, embedding: TensorInfo) -> None:
    """Raise CheckpointError where a tied head holds other values than the embedding.

    Peers part here: mlx-lm takes the embedding, transformers 5 the head.
    """
    with head.file.open("rb") as ours, embedding.file.open("rb") as theirs:
        ours.seek(head.start)
        theirs.seek(embedding.start)
        left = head.nbytes
        while left:
            size = min(left, _COMPARED_BYTES)
            if ours.read(size) != theirs.read(size):
                raise CheckpointError(
                    f"{head.file}: the configuration ties the head to the embedding, and "
                    f"{head.source_name} holds other values. Set tie_word_embeddings to false to "
                    "use it, or remove it."
                )
            left -= size


def _tensors(files: ModelFiles, names: list[str]) -> list[StoredTensor]:
    return [tensor for name in names for tensor in files.header(name).values()]
