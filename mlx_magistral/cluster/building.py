"""A rank's model with its share of a checkpoint's weights."""

import mlx.core as mx

from mlx_magistral.cluster.layers_rank import LayersRank
from mlx_magistral.cluster.links import Links
from mlx_magistral.cluster.rank_model import BeforeLogits, BeforePass, HeadsRank
from mlx_magistral.cluster.share import Share, Split
from mlx_magistral.cluster.slices import read_share
from mlx_magistral.model.checkpoint import Checkpoint
from mlx_magistral.model.inventory import EMBEDDING
from mlx_magistral.model.quant_config import QuantFormat
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import quantize_modules, stored_formats

_DTYPES = {"BF16": mx.bfloat16, "F16": mx.float16, "F32": mx.float32}


def build_rank(
    checkpoint: Checkpoint,
    share: Share,
    links: Links,
    before_pass: BeforePass | None = None,
    before_logits: BeforeLogits | None = None,
) -> Transformer:
    """The model of a share, its weights read but for those that are held whole.

    The callbacks are rank 0's, see rank_model.py. Raises CheckpointError.
    """
    model: Transformer
    if share.split is Split.LAYERS:
        dtype = _hidden_dtype(checkpoint)
        model = LayersRank(checkpoint.config, share, links, dtype, before_pass)
    else:
        model = HeadsRank(checkpoint.config, share, links, before_pass, before_logits)
    quantize_modules(model, _formats(checkpoint, share))
    model.load_weights(list(read_share(checkpoint, share)), strict=True)
    model.eval()
    return model


def _hidden_dtype(checkpoint: Checkpoint) -> mx.Dtype:
    """What the embedding gives: its own dtype, or that of its scales."""
    tensors = checkpoint.tensors
    return _DTYPES[tensors.get("model.embed_tokens.scales", tensors[EMBEDDING]).dtype]


def _formats(checkpoint: Checkpoint, share: Share) -> dict[str, QuantFormat]:
    """Module path in the rank's model -> format of what is stored in codes."""
    formats = {}
    for path, form in stored_formats(checkpoint).items():
        place = share.place(f"{path}.weight")
        if place is not None:
            formats[place.removesuffix(".weight")] = form
    return formats
