"""Where MLX computes, for what is done in another way on a GPU."""

import mlx.core as mx


def is_gpu() -> bool:
    """Whether what is asked for now runs on a GPU."""
    return bool(mx.default_device() == mx.gpu)
