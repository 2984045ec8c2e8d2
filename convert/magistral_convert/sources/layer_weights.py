"""Whole tensors and whole layers out of a Source, for the passes that compute with the model."""

from collections.abc import Mapping

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from mlx_magistral.errors import ConversionError

from .source import BlockRequest, Source

TokenArray = npt.NDArray[np.int64]


def require_tokens(source: Source, tokens: TokenArray) -> None:
    """Raise ConversionError unless every id is a row of the embedding."""
    largest, rows = int(tokens.max()), source.config.vocab_size
    if largest >= rows:
        raise ConversionError(
            f"The text holds token {largest} and {source.folder} has a vocabulary of {rows}. Give "
            "the tokenizer, or the ids, that belong to this model."
        )


def read_tensor(source: Source, name: str) -> mx.array:
    """One tensor in HF layout and its stored dtype (float32 where the source is quantized)."""
    return read_rows(source, BlockRequest(name, 0, source.shapes[name][0]))


def read_rows(source: Source, request: BlockRequest) -> mx.array:
    """Some rows of a tensor, in this thread."""
    return source.decode(request, source.read(request))


def read_layer(source: Source, index: int) -> Mapping[str, mx.array]:
    """The weights of one layer by their names inside it: 1.1 GB for Magistral in bf16."""
    prefix = f"model.layers.{index}."
    return {
        name.removeprefix(prefix): read_tensor(source, name)
        for name in source.shapes
        if name.startswith(prefix)
    }


def head_name(source: Source) -> str:
    """The matrix that makes logits: lm_head, or the embedding where the two are tied."""
    return "lm_head.weight" if "lm_head.weight" in source.shapes else "model.embed_tokens.weight"


def embed(source: Source, tokens: TokenArray) -> mx.array:
    """Hidden states (B, L, D) in float32 of token ids (B, L), reading only the rows needed."""
    name = "model.embed_tokens.weight"
    ids, places = np.unique(tokens, return_inverse=True)
    rows = [read_rows(source, BlockRequest(name, token, token + 1)) for token in ids.tolist()]
    table = mx.concatenate(rows).astype(mx.float32)
    return table[mx.array(places.reshape(tokens.shape))]
