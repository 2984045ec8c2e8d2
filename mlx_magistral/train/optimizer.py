"""AdamW with bias correction, its state in 32 or 8 bits, a cosine with warm-up, and clipping."""

# mypy: allow-untyped-calls, no-warn-return-any

import math
from typing import Any

import mlx.core as mx
from mlx.optimizers import AdamW

from mlx_magistral.train.options import TrainOptions

BETAS = (0.9, 0.999)
_GROUP = 64
# Of the first rate, what a cosine ends at.
_LAST_RATE = 0.1

Arrays = dict[str, mx.array]


class AdamW8bit(AdamW):
    """Both moments as 8-bit codes in groups of 64: 2.25 bytes a parameter in place of 8.

    Of the second moment the root is stored, whose range is half as many powers of two. What is
    below a code's step there counts as that step: a root read as zero would make a leap of an
    update. Parameters whose size is no multiple of 64 keep 32 bits.
    """

    def init_single(self, parameter: mx.array, state: dict[str, Any]) -> None:
        if parameter.size % _GROUP:
            super().init_single(parameter, state)
            return
        zeros = mx.zeros((parameter.size // _GROUP, _GROUP))
        for name in ("m", "v"):
            _store(state, name, zeros)

    def apply_single(
        self, gradient: mx.array, parameter: mx.array, state: dict[str, Any]
    ) -> mx.array:
        if parameter.size % _GROUP:
            updated: mx.array = super().apply_single(gradient, parameter, state)
            return updated
        shape, (b1, b2) = parameter.shape, self.betas
        slope = gradient.reshape(-1, _GROUP).astype(mx.float32)
        m = b1 * _stored(state, "m") + (1 - b1) * slope
        root = _stored(state, "v")
        v = b2 * root.square() + (1 - b2) * slope.square()
        root = mx.sqrt(v)
        _store(state, "m", m)
        _store(state, "v", root)
        root = mx.maximum(root, mx.abs(state["v_scales"]))
        step, rate = self.step, self.learning_rate
        update = m / (1 - b1**step) / (root / mx.sqrt(1 - b2**step) + self.eps)
        kept = parameter * (1 - rate * self.weight_decay)
        return (kept - rate * update.reshape(shape)).astype(parameter.dtype)


def make_optimizer(options: TrainOptions) -> AdamW:
    """The optimizer of a training; the rate is set at each step."""
    kind = AdamW if options.optimizer_bits == 32 else AdamW8bit
    return kind(
        learning_rate=0.0,
        betas=list(BETAS),
        weight_decay=options.weight_decay,
        bias_correction=True,
    )


def rate_at(step: int, options: TrainOptions) -> float:
    """The rate of a step, counted from 0: rising over the warm-up, then half a cosine down."""
    warm = int(options.warmup * options.iters)
    if step < warm:
        return options.learning_rate * (step + 1) / warm
    done = (step - warm) / max(options.iters - warm, 1)
    share = _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * done)) / 2
    return options.learning_rate * share


def clipped(gradients: Arrays, largest: float) -> tuple[Arrays, mx.array]:
    """Gradients no longer than ``largest`` together, and how long they were."""
    squares = [each.astype(mx.float32).square().sum() for each in gradients.values()]
    norm = mx.sqrt(mx.stack(squares).sum())
    factor = mx.minimum(largest / (norm + 1e-6), 1.0)
    return {name: each * factor.astype(each.dtype) for name, each in gradients.items()}, norm


def flat_state(optimizer: AdamW, names: list[str]) -> Arrays:
    """What the optimizer keeps, under ``PARAMETER.PART``, and its step."""
    arrays = {"step": optimizer.state["step"]}
    for name in names:
        for part, array in optimizer.state[name].items():
            arrays[f"{name}.{part}"] = array
    return arrays


def restore_state(optimizer: AdamW, arrays: Arrays, names: list[str]) -> None:
    """Take up what flat_state gave."""
    for name in names:
        parts = optimizer.state[name]
        for part in parts:
            parts[part] = arrays[f"{name}.{part}"]
    optimizer.state["step"] = arrays["step"]


def _store(state: dict[str, Any], name: str, values: mx.array) -> None:
    codes, scales, biases = mx.quantize(values, group_size=_GROUP, bits=8)
    state[f"{name}_codes"], state[f"{name}_scales"], state[f"{name}_biases"] = codes, scales, biases


def _stored(state: dict[str, Any], name: str) -> mx.array:
    parts = state[f"{name}_codes"], state[f"{name}_scales"], state[f"{name}_biases"]
    return mx.dequantize(*parts, group_size=_GROUP, bits=8)
