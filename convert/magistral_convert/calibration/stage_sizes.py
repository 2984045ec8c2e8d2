"""How wide the inputs of a layer's matrices are, and what of them is gathered and kept."""

from mlx_magistral.model.config import ModelConfig

from .column_sums import is_foretold
from .layer import ATTENTION_OUTPUT, MLP_OUTPUT, Names

# Attention's of Magistral fit in, and are gone before its MLP, which takes more, is worked on.
_MOST_KEPT_BYTES = 2 << 30


def input_columns(config: ModelConfig, names: Names) -> int:
    """How wide the inputs of these matrices are."""
    if names == MLP_OUTPUT:
        return config.hidden_dim
    return config.n_heads * config.head_dim if names == ATTENTION_OUTPUT else config.dim


def has_lacks(config: ModelConfig, tokens: int, names: Names) -> bool:
    """Whether so many tokens tell what the result lacks at these matrices."""
    return is_foretold(input_columns(config, names), tokens)


def inner_bytes(config: ModelConfig, tokens: int, names: Names) -> int:
    """The result's inputs of ATTENTION_OUTPUT or MLP_OUTPUT in float32."""
    return 4 * tokens * input_columns(config, names)


def is_inner_kept(config: ModelConfig, tokens: int, names: Names) -> bool:
    """Whether what so many tokens bring to ATTENTION_OUTPUT or MLP_OUTPUT stays in memory."""
    return inner_bytes(config, tokens, names) <= _MOST_KEPT_BYTES
