"""Muon for the matrices inside a network, AdamW for all else, behind the face of one optimizer.

AdamW's step of a matrix has a few directions that its gradients agree on; Muon's, made orthogonal,
has all of them alike, and learns more from each text. Its rate is an AdamW's times a constant.
Source: MLX's Muon, after kellerjordan.github.io/posts/muon.
"""

# mypy: allow-untyped-calls, no-warn-return-any

from collections.abc import Callable
from typing import Any

import mlx.core as mx
from mlx.optimizers import AdamW, Muon

from mlx_magistral.train.optimizer import BETAS, AdamW8bit, Arrays
from mlx_magistral.train.options import TrainOptions

# Of AdamW's rate for the other parameters.
RATE_RATIO = 20.0


class _MuonInside:
    """Before an AdamW among the bases: the state of a matrix of Muon's is ``v``, its momentum."""

    def __init__(self, is_inside: Callable[[str], bool], dtype: mx.Dtype, **adamw: Any) -> None:
        super().__init__(**adamw)
        self._is_inside, self._dtype = is_inside, dtype
        self._muon = Muon(0.0, weight_decay=0.0)

    def init(self: Any, parameters: Arrays) -> None:
        """What is kept of each parameter, by its name."""
        for name, parameter in parameters.items():
            state = self.state[name] = {}
            if parameter.ndim == 2 and self._is_inside(name):
                state["v"] = mx.zeros(parameter.shape, self._dtype)
            else:
                self.init_single(parameter, state)
        self._initialized = True

    def apply_single(
        self: Any, gradient: mx.array, parameter: mx.array, state: dict[str, Any]
    ) -> mx.array:
        if state.keys() != {"v"}:
            updated: mx.array = super().apply_single(gradient, parameter, state)  # type: ignore[misc]
            return updated
        self._muon.learning_rate = RATE_RATIO * self.learning_rate
        return self._muon.apply_single(gradient.astype(state["v"].dtype), parameter, state)


class MuonAdamW(_MuonInside, AdamW):
    """All in 32 bits."""


class MuonAdamW8bit(_MuonInside, AdamW8bit):
    """AdamW's moments in 8 bits; Muon's momentum, and what it computes, in bfloat16."""


def make_muon(options: TrainOptions, is_inside: Callable[[str], bool]) -> AdamW:
    """Muon for the matrices whose names are ``is_inside``; the rate is set at each step.

    Weights do not decay.
    """
    is_whole = options.optimizer_bits == 32
    kind, dtype = (MuonAdamW, mx.float32) if is_whole else (MuonAdamW8bit, mx.bfloat16)
    adamw = {"learning_rate": 0.0, "betas": list(BETAS), "bias_correction": True}
    return kind(is_inside, dtype, weight_decay=0.0, **adamw)
