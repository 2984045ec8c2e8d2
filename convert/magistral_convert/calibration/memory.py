"""How much memory a conversion with calibration takes, told before it starts."""

from math import prod

from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.names import expected_shapes

from .column_sums import column_spans
from .importance import importance_bytes
from .layer import ATTENTION_OUTPUT, MLP_OUTPUT
from .stage_sizes import has_lacks, inner_bytes, is_inner_kept
from .streams import BATCH_TOKENS

# Rows being rounded, with the candidates for each; the interpreter and its libraries.
_SOLVER_BYTES = 600 << 20
_BASE_BYTES = 150 << 20


def hidden_bytes(config: ModelConfig, tokens: int, *, has_curvature: bool) -> int:
    """Hidden states in bf16 between two layers, of the source and with curvature the result's."""
    return (2 if has_curvature else 1) * 2 * tokens * config.dim


def calibration_bytes(config: ModelConfig, tokens: int, *, has_curvature: bool) -> int:
    """An estimate of the memory that converting with calibration takes, in bytes.

    The largest of four moments: the gradients of some tokens, a stage gathering, a matrix being
    solved, the comparison at the end, in which a quantized layer is held in float32.
    """
    shapes = {n: s for n, s in expected_shapes(config).items() if n.startswith("model.layers.0.")}
    layer = sum(prod(shape) for shape in shapes.values())
    largest = max(prod(shape) for shape in shapes.values())
    activations = 4 * BATCH_TOKENS * (4 * config.hidden_dim + 8 * config.dim)
    comparing = 4 * layer + activations
    hidden = hidden_bytes(config, tokens, has_curvature=has_curvature)
    if not has_curvature:
        rounding = max(2 * layer + 4 * largest + activations, _SOLVER_BYTES)
        return _BASE_BYTES + hidden + max(rounding, comparing)
    # The widest inputs are the MLP's inner ones, gathered with gate and up as they are written;
    # then each side goes through the MLP, the result's with its three matrices in float32.
    spans = [end - begin for begin, end in column_spans(config.hidden_dim)]
    gathered = 4 * sum(span**2 for span in spans)  # H, then its factors
    matrices, found = 2, 0
    if has_lacks(config, tokens, MLP_OUTPUT):  # the source's matrices beside; the additions
        matrices, found = 5, 4 * max(spans) * config.dim
        gathered += 4 * config.hidden_dim * config.dim
    gathering = max(gathered + matrices * 4 * largest, 3 * 4 * largest) + activations
    # What leads to an output and is kept until the layer goes on; attention's is gone by the MLP.
    kept = [
        inner_bytes(config, tokens, each) if is_inner_kept(config, tokens, each) else 0
        for each in (ATTENTION_OUTPUT, MLP_OUTPUT)
    ]
    # Sums in which all tokens count once, and those of a matrix, with what they lack.
    alike = 2 * 2 * 4 * config.dim**2
    attention = config.n_heads * config.head_dim
    attending = max(kept[0], alike) + 5 * 4 * attention**2 + _SOLVER_BYTES
    # H, its Cholesky factor and the flipped copies of one block at a time; before that H with its
    # damping, twice, and what regression finds, as it comes and in order.
    solving = gathered + 2 * 4 * max(spans) ** 2 + max(4 * max(spans) ** 2, 2 * found)
    solving += _SOLVER_BYTES
    # A whole layer's matrices as written are kept until they are on the disk, 8 bits at most.
    rounding = hidden + layer + max(kept[1] + max(gathering, solving), attending, comparing)
    return _BASE_BYTES + max(importance_bytes(config, layer, largest), rounding)
