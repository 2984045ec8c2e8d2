"""Which base an adapter belongs to: a hash that stays the same when the base is quantized."""

import hashlib

import mlx.core as mx

from mlx_magistral.model.checkpoint import Checkpoint


def base_identity(checkpoint: Checkpoint) -> str:
    """SHA-256 of the shape and of all norms' gains in bf16: 0.8 MB of Magistral.

    A conversion stores the gains as they are, so an adapter trained on 4 bits is known to fit
    the bf16 weights too; training of all weights moves them, and so does a method that folds
    factors into them, after which an adapter would not fit.
    """
    config = checkpoint.config
    shape = (config.dim, config.n_layers, config.n_heads, config.n_kv_heads, config.hidden_dim)
    digest = hashlib.sha256(repr(shape).encode())
    for name, tensor in checkpoint.tensors.items():
        if len(tensor.shape) == 1:
            with mx.stream(mx.cpu):
                gains = checkpoint.read(name).astype(mx.bfloat16).view(mx.uint16)
                mx.eval(gains)
            digest.update(memoryview(gains))  # type: ignore[arg-type]
    return digest.hexdigest()
