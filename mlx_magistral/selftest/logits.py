"""Logits of nano, on one device against the other and against float32.

A wrong kernel or a wrong shape gives fluent text, so it is the numbers that are compared. What they
may differ by is measured too: 16-bit numbers on the CPU are away from the same pass in float32 by
their rounding, and a GPU, which rounds elsewhere, may be a few times as far from the CPU.
"""

# mypy: allow-untyped-calls
# because mlx's modules are annotated in part only.

import math
from dataclasses import dataclass
from typing import cast

import mlx.core as mx
from mlx.nn.layers.quantized import quantize

from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.memory.sizes import WEIGHT_GROUP
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import load_model
from mlx_magistral.selftest.line import Line, judged

WEIGHT_BITS = (16, 8, 6, 4)
KV_BITS = (16, 8, 4)
# Of one device from the other, in roundings.
MOST_ROUNDINGS = 4
# Of 16-bit numbers from float32, by the bits of the KV cache; a wrong rotation is 0.45 away.
MOST_ROUNDING = {16: 0.15, 8: 0.15, 4: 0.35}
_LEAST_ROUNDING = 1e-4
_STEPS = 4


@dataclass(frozen=True)
class Distance:
    """Root mean squares of differences, over that of the logits; ``bound`` is the most there is."""

    found: float
    bound: float

    @property
    def is_ok(self) -> bool:
        return self.found <= self.bound  # False for nan


def make_model(bits: int) -> Transformer:
    """nano, its matrices rounded to so many bits."""
    model = load_model(nano_folder()).model
    if bits < 16:
        quantize(model, WEIGHT_GROUP, bits)
    mx.eval(model.parameters())
    return model


def logits_of(model: Transformer, tokens: list[int], kv_bits: int, device: mx.Device) -> mx.array:
    """After a prompt, and after each of the last ids, read one by one; (rows, vocab), float32."""
    with mx.stream(device):
        cache = make_cache(model, kv_bits)
        rows = [model(mx.array([tokens[:-_STEPS]]), cache)[0, -1]]
        rows += [model(mx.array([[token]]), cache)[0, -1] for token in tokens[-_STEPS:]]
        logits = mx.stack(rows).astype(mx.float32)
        mx.eval(logits)
    return logits


def distance(logits: mx.array, reference: mx.array) -> float:
    """The root mean square of the difference over that of the reference."""
    with mx.stream(mx.cpu):
        squares = mx.mean(mx.square(logits - reference)) / mx.mean(mx.square(reference))
        return math.sqrt(cast(float, squares.item()))


def compare(
    bits: int, kv_bits: int, tokens: list[int], devices: tuple[mx.Device, mx.Device]
) -> tuple[Distance, Distance]:
    """The first device from float32 on it, and the second device from the first."""
    model = make_model(bits)
    first = logits_of(model, tokens, kv_bits, devices[0])
    second = logits_of(model, tokens, kv_bits, devices[1])
    model.apply(lambda array: array.astype(mx.float32) if _is_float(array) else array)
    exact = logits_of(model, tokens, kv_bits, devices[0])
    rounding = distance(first, exact)
    return (
        Distance(rounding, MOST_ROUNDING[kv_bits]),
        Distance(distance(second, first), MOST_ROUNDINGS * max(rounding, _LEAST_ROUNDING)),
    )


def logits_lines(tokens: list[int], bits: int) -> list[Line]:
    """The lines of one width: the CPU's rounding, and the GPU against the CPU if there is one."""
    has_gpu = mx.default_device() == mx.gpu
    devices = (mx.Device(mx.cpu), mx.Device(mx.gpu if has_gpu else mx.cpu))
    pairs = {kv_bits: compare(bits, kv_bits, tokens, devices) for kv_bits in KV_BITS}
    lines = [
        _line(
            f"logits on the CPU against float32, {bits}-bit weights",
            {kv_bits: own for kv_bits, (own, _) in pairs.items()},
        )
    ]
    if has_gpu:
        apart = {kv_bits: between for kv_bits, (_, between) in pairs.items()}
        lines.append(_line(f"logits on the GPU against the CPU, {bits}-bit weights", apart))
    return lines


def _line(name: str, found: dict[int, Distance]) -> Line:
    figures = ", ".join(
        f"{kv_bits}-bit KV {each.found:.4f} (at most {each.bound:.3g})"
        for kv_bits, each in found.items()
    )
    return judged(name, all(each.is_ok for each in found.values()), figures)


def _is_float(array: mx.array) -> bool:
    return mx.issubdtype(array.dtype, mx.floating)
