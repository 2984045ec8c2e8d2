"""The loss at the head, a few rows at a time: the logits of all rows are never there.

Magistral's head has 131,072 columns: 8,192 rows of logits are 4.3 GB in fp32, and autodiff holds
four such arrays. Cutting them up for autodiff does not help, because MLX keeps what the gradient
will need; here each chunk's gradient is computed by hand along with its loss.
"""

# mypy: allow-untyped-calls

from collections.abc import Callable
from typing import Any, NamedTuple

import mlx.core as mx

# Logits of a chunk, 128 rows of Magistral: 67 MB in fp32, and four times that is there at once.
_CHUNK_LOGITS = 1 << 24

Head = Callable[[mx.array], mx.array]


class HeadLoss(NamedTuple):
    """The sum of the losses, and its gradient by the hidden states, (rows, dim)."""

    loss: mx.array
    gradient: mx.array


def chunk_rows(vocab_size: int) -> int:
    """How many rows of logits are computed at once."""
    return max(_CHUNK_LOGITS // vocab_size, 1)


def head_loss(head: Head, hidden: mx.array, targets: mx.array, rows_at_once: int) -> HeadLoss:
    """Cross-entropy of ``head(hidden)``, (rows, vocab), summed over rows; evaluated."""
    loss = mx.zeros((), mx.float32)
    gradients = []
    for start in range(0, hidden.shape[0], rows_at_once):
        end = start + rows_at_once
        part, gradient = _chunk(head, hidden[start:end], targets[start:end])
        loss = loss + part
        gradients.append(gradient)
        mx.eval(loss, gradient)
    return HeadLoss(loss, mx.concatenate(gradients))


def graph_loss(head: Head, hidden: mx.array, targets: mx.array, rows_at_once: int) -> mx.array:
    """The same sum to differentiate by ``hidden``, in a graph: each chunk waits for the one before.

    Of about three chunks the logits are there at once, for MLX starts operations ahead of others.
    """

    @mx.custom_function
    def both(hidden: mx.array) -> tuple[mx.array, mx.array]:
        loss = mx.zeros((), mx.float32)
        gradients: list[mx.array] = []
        for start in range(0, hidden.shape[0], rows_at_once):
            end = start + rows_at_once
            rows = hidden[start:end]
            if gradients:
                (rows,) = mx.depends([rows], [loss, gradients[-1]])
            part, gradient = _chunk(head, rows, targets[start:end])
            loss = loss + part
            gradients.append(gradient)
        return loss, mx.concatenate(gradients)

    @both.vjp
    def backward(
        primals: mx.array,
        cotangents: tuple[mx.array, mx.array],
        outputs: tuple[mx.array, mx.array],
    ) -> mx.array:
        slope, gradient = cotangents[0], outputs[1]
        return gradient * slope.astype(gradient.dtype)

    computed: Any = both
    loss: mx.array = computed(hidden)[0]
    return loss


def row_losses(head: Head, hidden: mx.array, targets: mx.array) -> mx.array:
    """The loss of each row, (rows,), in one graph: where the logits are small."""
    logits = head(hidden).astype(mx.float32)
    picked = mx.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    return mx.logsumexp(logits, axis=-1) - picked


def _chunk(head: Head, hidden: mx.array, targets: mx.array) -> tuple[mx.array, mx.array]:
    logits = head(hidden)
    wide = logits.astype(mx.float32)
    lengths = mx.logsumexp(wide, axis=-1, keepdims=True)
    picked = mx.take_along_axis(wide, targets[:, None], axis=-1)
    # d loss / d logits = softmax - 1 at the target.
    slope = mx.exp(wide - lengths)
    slope = slope.at[mx.arange(targets.shape[0]), targets].subtract(mx.array(1.0))
    # The head is linear: of this only the product with its weights is computed.
    _, (gradient,) = mx.vjp(head, [hidden], [slope.astype(logits.dtype)])
    return (lengths - picked).sum(), gradient
