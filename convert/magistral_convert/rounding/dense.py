"""Which library computes: MLX on a GPU, numpy where there is none.

MLX's CPU backend multiplies at about 5 GFLOP/s and numpy's BLAS at about 90 on the same core; its
exponentials take twenty times as long as numpy's and its sums and products of whole arrays three
times. So without a GPU what is large goes through numpy; arrays share memory on the way in. Code
between ``working`` and ``as_mlx`` is written once and runs on either.
"""

from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt

# float32, an mx.array or a numpy array. Both have the operators, methods and functions used here;
# no type says so.
Array = Any

# A float32 this large has no bits after the point: adding it rounds to whole numbers, in a third of
# the time of mx.round on a CPU. Numbers beyond it are clipped in any case.
_NO_FRACTION = 1.5 * 2**23
_BFLOAT16_ROUNDING = np.uint32(0x7FFF)
_BFLOAT16_MASK = np.uint32(0xFFFF0000)


def has_gpu() -> bool:
    """Whether MLX computes on a GPU, and is then the faster of the two."""
    return mx.default_device() == mx.Device(mx.gpu)


def working(array: mx.array | npt.NDArray[np.float32]) -> Array:
    """The array in float32, of the library that computes here."""
    return as_mlx(array).astype(mx.float32) if has_gpu() else _in_numpy(array)


def as_mlx(array: Array) -> mx.array:
    """The same values as an mx.array."""
    return array if isinstance(array, mx.array) else mx.array(array)


def library(array: Array) -> Any:
    """The module whose functions take ``array``: mlx.core or numpy."""
    return mx if isinstance(array, mx.array) else np


def like(array: Array, other: Array) -> Array:
    """The array in float32, of the library that ``other`` is of."""
    return as_mlx(array).astype(mx.float32) if isinstance(other, mx.array) else _in_numpy(array)


def product(left: Array, right: Array) -> Array:
    """``left @ right`` in float32, of the left one's library; leading dimensions are a batch.

    An mx.array is evaluated.
    """
    if isinstance(left, np.ndarray):
        return left @ like(right, left)
    if has_gpu():
        result = left.astype(mx.float32) @ like(right, left)
        mx.eval(result)
        return result
    return mx.array(_in_numpy(left) @ _in_numpy(right))


def settle(*arrays: Array) -> None:
    """Let MLX work off what was asked of it so far; numpy has done so already."""
    mx.eval(*(array for array in arrays if isinstance(array, mx.array)))


def whole(values: Array) -> Array:
    """Each value as the nearest whole number."""
    if isinstance(values, np.ndarray):
        return np.rint(values)
    return (values + _NO_FRACTION) - _NO_FRACTION


def as_stored(values: Array, dtype: mx.Dtype) -> Array:
    """The float32 values that ``values`` become in ``dtype``."""
    if isinstance(values, mx.array):
        return values.astype(dtype).astype(mx.float32)
    if dtype == mx.bfloat16:
        bits = np.ascontiguousarray(values).view(np.uint32)
        last = (bits >> np.uint32(16)) & np.uint32(1)  # ties go to the even one
        return ((bits + _BFLOAT16_ROUNDING + last) & _BFLOAT16_MASK).view(np.float32)
    if dtype == mx.float16:
        return values.astype(np.float16).astype(np.float32)
    assert dtype == mx.float32
    return values


def _in_numpy(array: Array) -> Array:
    if isinstance(array, np.ndarray):
        return array
    exact = array.astype(mx.float32)
    mx.eval(exact)
    return np.asarray(exact)
