"""LoRA and DoRA around a linear layer, float or quantized: what is trained is also what serves.

LoRA (arXiv:2106.09685) adds scale * (x A) B; DoRA (arXiv:2402.09353) also gives each row of the
sum W + scale * B^T A^T a learned length. Not mlx-lm's layers, whose parameters have the same names:
importing them costs 1.7 s, and their DoRA unpacks a quantized matrix at every pass.
"""

# mypy: allow-untyped-calls, no-warn-return-any
# because mlx's modules are annotated in part only.

from typing import Any

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.linear import Linear
from mlx.nn.layers.quantized import QuantizedLinear

# Rows of a matrix unpacked at once to measure them: 42 MB in fp32 at Magistral's width.
_BLOCK_ROWS = 2048

BaseLinear = Linear | QuantizedLinear


class LoRALinear(Module):
    """``linear(x) + scale * (x @ lora_a) @ lora_b``; lora_a is (in, rank), lora_b (rank, out).

    The two are kept in the dtype they come in and used in that of x: trained in fp32, their
    products with bf16 activations are still bf16.
    """

    def __init__(self, linear: BaseLinear, a: mx.array, b: mx.array, scale: float) -> None:
        super().__init__()
        self.linear = linear
        self.lora_a, self.lora_b, self.scale = a, b, scale

    def __call__(self, x: mx.array) -> mx.array:
        return self.linear(x) + self._update(x)

    def settle(self) -> None:
        """Make it as cheap as it can be for a model that only answers."""
        dtype = activation_dtype(self.linear)
        self.lora_a = self.lora_a.astype(dtype)
        self.lora_b = (self.lora_b * self.scale).astype(dtype)
        self.scale = 1.0

    def _update(self, x: mx.array) -> mx.array:
        # The scale goes to the matrix of rank rows, and not to as many rows as x has.
        b = self.lora_b if self.scale == 1.0 else self.lora_b * self.scale
        return (x @ self.lora_a.astype(x.dtype)) @ b.astype(x.dtype)


class DoRALinear(LoRALinear):
    """LoRA whose rows have the lengths ``m`` (out,), fp32, whatever the update makes of them."""

    def __init__(
        self, linear: BaseLinear, a: mx.array, b: mx.array, scale: float, m: mx.array
    ) -> None:
        super().__init__(linear, a, b, scale)
        # Underscores keep arrays out of the module's parameters.
        self._squares = row_squares(linear)
        self._gain: mx.array | None = None
        self.m = m

    def __call__(self, x: mx.array) -> mx.array:
        gain = self.gain() if self._gain is None else self._gain
        return gain.astype(x.dtype) * (self.linear(x) + self._update(x))

    def settle(self) -> None:
        """Fix the rows' gains too, which training computes anew at every pass."""
        self._gain = self.gain().astype(activation_dtype(self.linear))
        super().settle()

    def gain(self) -> mx.array:
        """What each output is multiplied by, (out,) fp32; no gradient goes through the lengths.

        |W + U|² = |W|² + 2 W·U + |U|² row by row, with the update U = scale * B^T A^T, so that W is
        read as in a pass of rank rows and never unpacked.
        """
        a, b = self.lora_a.astype(mx.float32), self.lora_b.astype(mx.float32) * self.scale
        crossed = (self.linear(a.T).astype(mx.float32) * b).sum(axis=0)
        own = ((a.T @ a) @ b * b).sum(axis=0)
        lengths = mx.sqrt(self._squares + 2 * crossed + own)
        return self.m / mx.stop_gradient(lengths)


def is_linear(module: Any) -> bool:
    """Whether an adapter can go around it."""
    return isinstance(module, BaseLinear)


def linear_shape(linear: BaseLinear) -> tuple[int, int]:
    """(out, in) of the matrix, packed or not."""
    out, width = linear.weight.shape
    return (out, width * 32 // linear.bits) if isinstance(linear, QuantizedLinear) else (out, width)


def activation_dtype(linear: BaseLinear) -> mx.Dtype:
    """What it computes in."""
    packed = isinstance(linear, QuantizedLinear)
    return linear.scales.dtype if packed else linear.weight.dtype


def row_squares(linear: BaseLinear) -> mx.array:
    """The squared length of each row, (out,) in fp32, unpacked a block of rows at a time."""
    parts = []
    for start in range(0, linear.weight.shape[0], _BLOCK_ROWS):
        rows = float_rows(linear, start, start + _BLOCK_ROWS).astype(mx.float32)
        parts.append(rows.square().sum(axis=1))
        mx.eval(parts[-1])
    return mx.concatenate(parts)


def float_rows(linear: BaseLinear, start: int, stop: int) -> mx.array:
    """Rows of the matrix as floats, (rows, in)."""
    rows = linear.weight[start:stop]
    if not isinstance(linear, QuantizedLinear):
        return rows
    assert linear.biases is not None  # affine, the one mode that checkpoints are read in
    scales, biases = linear.scales[start:stop], linear.biases[start:stop]
    return mx.dequantize(rows, scales, biases, group_size=linear.group_size, bits=linear.bits)
