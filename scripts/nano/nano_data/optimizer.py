"""Muon for the matrices of the blocks, AdamW for the rest.

Muon (Keller Jordan, 2024) orthogonalises the momentum of a matrix by a Newton-Schulz iteration; the
scale 0.2 * sqrt(longer side) gives its updates the size of AdamW's (Moonlight, arXiv 2502.16982).
"""

from typing import Any

import torch
from torch import Tensor, nn

_STEPS = ((3.4445, -4.7750, 2.0315),) * 5


class Muon:
    """One instance for all block matrices; same-shaped ones are orthogonalised together."""

    def __init__(self, parameters: list[nn.Parameter], momentum: float = 0.95) -> None:
        self.momentum = momentum
        self.parameters = parameters
        self.buffers = [torch.zeros_like(p) for p in parameters]

    @torch.no_grad()
    def step(self, rate: float, decay: float) -> None:
        """Nesterov momentum, orthogonalised; weight decay as in AdamW."""
        by_shape: dict[tuple[int, ...], list[tuple[nn.Parameter, Tensor]]] = {}
        for parameter, buffer in zip(self.parameters, self.buffers, strict=True):
            assert parameter.grad is not None
            buffer.lerp_(parameter.grad, 1 - self.momentum)
            update = parameter.grad.lerp(buffer, self.momentum)
            by_shape.setdefault(tuple(parameter.shape), []).append((parameter, update))
        for shape, members in by_shape.items():
            updates = _orthogonalise(torch.stack([update for _, update in members]))
            scale = 0.2 * max(shape) ** 0.5
            for (parameter, _), update in zip(members, updates, strict=True):
                parameter.mul_(1 - rate * decay).add_(update, alpha=-rate * scale)

    def state_dict(self) -> dict[str, Any]:
        """The momentum buffers, in the order of the parameters."""
        return {"buffers": self.buffers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the buffers of a checkpoint."""
        self.buffers = state["buffers"]


def _orthogonalise(updates: Tensor) -> Tensor:
    """[N, rows, columns] -> about the nearest orthogonal matrices, in bfloat16."""
    x = updates.bfloat16()
    is_tall = x.shape[1] > x.shape[2]
    if is_tall:
        x = x.transpose(1, 2)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for a, b, c in _STEPS:
        gram = torch.bmm(x, x.transpose(1, 2))
        x = a * x + torch.bmm(b * gram + c * torch.bmm(gram, gram), x)
    if is_tall:
        x = x.transpose(1, 2)
    result: Tensor = x.float()
    return result
