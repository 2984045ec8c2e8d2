"""Log-probabilities of generated ids: the model's own, at temperature 1 and before any rule.

Measured beside the draw, on the device, and only for a reply that asked for them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import mlx.core as mx

from mlx_magistral.errors import UsageError
from mlx_magistral.events import TokenLogprob
from mlx_magistral.options import require_whole

MOST_ALTERNATIVES = 20  # as in the OpenAI API


class Measured(NamedTuple):
    """Not yet evaluated: of n ids their logprobs (n,), and the likeliest (n, k), best first."""

    chosen: mx.array
    top_tokens: mx.array
    top: mx.array


class LogprobMeter:
    """Measures ids and reports ``count`` alternatives for each; raises UsageError for a bad one."""

    def __init__(self, count: int, id_to_bytes: Callable[[int], bytes]) -> None:
        require_whole("logprobs", count)
        if not 0 <= count <= MOST_ALTERNATIVES:
            raise UsageError(f"logprobs must be 0 to {MOST_ALTERNATIVES}, not {count}.")
        self._count = count
        self._id_to_bytes = id_to_bytes

    def measure(self, logits: mx.array, tokens: mx.array) -> Measured:
        """Logits (n, vocab), each row the one its id of ``tokens`` (n,) was chosen from."""
        logits = logits.astype(mx.float32)
        every = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
        order = mx.argsort(-every, axis=-1)[:, : self._count]
        return Measured(
            mx.take_along_axis(every, tokens[:, None], axis=-1)[:, 0],
            order,
            mx.take_along_axis(every, order, axis=-1),
        )

    def report(self, tokens: list[int], measured: Measured) -> list[TokenLogprob]:
        """The values, an entry for each of the measured ids."""
        chosen: Any = measured.chosen.tolist()
        top_tokens: Any = measured.top_tokens.tolist()
        top: Any = measured.top.tolist()
        return [
            TokenLogprob(
                token,
                self._id_to_bytes(token),
                chosen[row],
                tuple(
                    TokenLogprob(other, self._id_to_bytes(other), value)
                    for other, value in zip(top_tokens[row], top[row], strict=True)
                ),
            )
            for row, token in enumerate(tokens)
        ]
