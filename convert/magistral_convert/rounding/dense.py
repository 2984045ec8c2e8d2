"""Large matrix products on whichever library is fast where this runs.

MLX's CPU backend multiplies at about 5 GFLOP/s and numpy's BLAS at about 90 on the same core, so
without a GPU the product goes through numpy; the arrays share memory on the way in.
"""

import mlx.core as mx
import numpy as np


def product(left: mx.array, right: mx.array) -> mx.array:
    """``left @ right`` in float32, evaluated; leading dimensions are a batch, as for ``@``."""
    left, right = left.astype(mx.float32), right.astype(mx.float32)
    if mx.default_device() == mx.Device(mx.gpu):
        result = left @ right
        mx.eval(result)
        return result
    mx.eval(left, right)
    return mx.array(np.asarray(left) @ np.asarray(right))
