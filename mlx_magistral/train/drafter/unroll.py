"""The training-time test of EAGLE-3: a head's chain at every place of a text, in one pass.

Drafting, a row reads features of the target up to its place and from there on the head's own
outputs. Trained on features alone it would never have seen its own; so every place is unrolled for
a few steps. At step k a row attends to the features' rows up to its own and to what its own chain
has put behind them, nothing else: the second part is one product a step, not a matrix.
Source: EAGLE-3 (arXiv:2503.01840), section 3.2.
"""

# mypy: allow-untyped-calls, no-warn-return-any

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mlx.core as mx

from mlx_magistral.model.eagle.network import Head, HeadAttention
from mlx_magistral.train.drafter.said import Rows

Embed = Callable[[mx.array], mx.array]


def unrolled(head: Head, embed: Embed, rows: Rows, states: mx.array) -> list[mx.array]:
    """The layer's output (asking rows, dim) of each step, not normalized.

    ``states`` are the target's (rows, features * dim) at the rows' places.
    """
    layer, features = head.layers[0], head.features(states)[None]  # (1, rows, dim)
    first = embed(rows.tokens[mx.array(rows.places) + 1])[None].astype(features.dtype)
    joined, residual = layer.join(first, features)
    chain = _Chain(layer.self_attn, rows, joined)
    joined, residual = joined[:, rows.asking], residual[:, rows.asking]
    outputs = [layer.finish(residual + chain.attend(joined))]
    for step in rows.steps[1:]:
        embedded = embed(rows.tokens[step.read])[None].astype(features.dtype)
        joined, residual = layer.join(embedded, head.fed_back(outputs[-1]))
        chain.go_on(joined)
        outputs.append(layer.finish(residual + chain.attend(joined)))
    return [output[0] for output in outputs]


class _Chain:
    """The attention of all steps: it remembers the keys and values of those before.

    ``joined`` (1, rows, 2 dim) is what all rows read at the first step.
    """

    def __init__(self, attention: HeadAttention, rows: Rows, joined: mx.array) -> None:
        self._attention = attention
        # Turned by its place in the pack: of two rows of a text the distance is the same there.
        self._keys = attention.row_keys(joined, 0)[0].astype(mx.float32)[:, None]
        self._values = attention.row_values(joined)[0].astype(mx.float32)[:, None]
        self._asking = rows.asking
        self._parts = _parts(rows)
        self._own: list[tuple[mx.array, mx.array]] = []
        self._step = 0

    def go_on(self, joined: mx.array) -> None:
        """What the asking rows read at the next step (1, asking rows, 2 dim)."""
        attention = self._attention
        self._step += 1
        keys = self._turned(attention.row_keys_unturned(joined))
        values = attention.row_values(joined)[0].astype(mx.float32)
        self._own.append((keys[:, None], values[:, None]))

    def attend(self, joined: mx.array) -> mx.array:
        """The asking rows (1, asking rows, 2 dim) of the latest step to (1, asking rows, dim)."""
        attention = self._attention
        groups, repeats = attention.n_kv_heads, attention.n_heads // attention.n_kv_heads
        q = self._turned(attention.row_queries_unturned(joined)) * attention.scale
        q = q.reshape(groups, repeats, *q.shape[1:])  # (G, H/G, asking, D)
        own = [(q * keys).sum(axis=-1, keepdims=True) for keys, _ in self._own]
        outs, left = [], []
        for part in self._parts:
            scores = q[:, :, part.asking] @ self._keys[:, :, part.rows].swapaxes(-1, -2)
            scores = mx.where(part.seen, scores, -mx.inf)
            chains = [each[:, :, part.asking] for each in own]
            weights = mx.softmax(mx.concatenate([scores, *chains], axis=-1), axis=-1)
            count = scores.shape[-1]
            outs.append(weights[..., :count] @ self._values[:, :, part.rows])
            left.append(weights[..., count:])
        out, weights = mx.concatenate(outs, axis=2), mx.concatenate(left, axis=2)
        for place, (_, values) in enumerate(self._own):
            out = out + weights[..., place, None] * values
        out = out.reshape(1, attention.n_heads, -1, attention.head_dim).astype(joined.dtype)
        return attention.out(out)

    def _turned(self, x: mx.array) -> mx.array:
        """Of asking rows (1, heads, asking, D), each by its place and the steps since: fp32."""
        offsets = self._asking + self._step
        by_row = x[0].swapaxes(0, 1)[:, :, None].astype(mx.float32)  # (asking, heads, 1, D)
        return self._attention.turned(by_row, offsets)[:, :, 0].swapaxes(0, 1)


class _Part(NamedTuple):
    """Of one text the asking rows, all its rows, and which of these each of those sees."""

    asking: slice
    rows: slice
    seen: mx.array


def _parts(rows: Rows) -> list[_Part]:
    """A row sees those of its own text that do not come after it, so each text is a product."""
    parts, chosen = [], 0
    asking: Any = rows.asking.tolist()
    start = 0
    for window in rows.windows:
        end = start + len(window) - 1
        own = [row for row in asking[chosen:] if row < end]
        if own:
            seen = mx.array(own)[:, None] >= mx.arange(start, end)[None]
            parts.append(_Part(slice(chosen, chosen + len(own)), slice(start, end), seen))
        chosen, start = chosen + len(own), end
    return parts


def useful_rows(outputs: Sequence[mx.array], rows: Rows) -> list[mx.array]:
    """Of each step's outputs those that have something to learn."""
    return [output[step.useful] for output, step in zip(outputs, rows.steps, strict=True)]
