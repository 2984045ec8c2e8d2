"""A rank's model with its share of a checkpoint's weights."""

from mlx_magistral.cluster.links import Links
from mlx_magistral.cluster.rank_model import BeforeLogits, BeforePass, HeadsRank
from mlx_magistral.cluster.share import Share
from mlx_magistral.cluster.slices import read_share
from mlx_magistral.model.checkpoint import Checkpoint
from mlx_magistral.model.quant_config import QuantFormat
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import quantize_modules, stored_formats


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
    model = HeadsRank(checkpoint.config, share, links, before_pass, before_logits)
    quantize_modules(model, _formats(checkpoint, share))
    model.load_weights(list(read_share(checkpoint, share)), strict=True)
    model.eval()
    return model


def _formats(checkpoint: Checkpoint, share: Share) -> dict[str, QuantFormat]:
    """Module path in the rank's model -> format of what is stored in codes."""
    formats = {}
    for path, form in stored_formats(checkpoint).items():
        place = share.place(f"{path}.weight")
        if place is not None:
            formats[place.removesuffix(".weight")] = form
    return formats
