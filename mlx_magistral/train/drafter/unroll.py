"""The training-time test of EAGLE-3: a head's chain at every place of a text, in one pass.

Drafting, a row reads features of the target up to its place and from there on the head's own
outputs. Trained on features alone it would never have seen its own; so every place is unrolled for
a few steps. At step k a row attends to the features' rows up to its own and to what its own chain
has put behind them, nothing else: the second part is one product a step, not a matrix.
Source: EAGLE-3 (arXiv:2503.01840), section 3.2.
"""

# mypy: allow-untyped-calls, no-warn-return-any

from collections.abc import Callable, Sequence

import mlx.core as mx

from mlx_magistral.model.eagle.network import Head, HeadAttention
from mlx_magistral.train.drafter.said import Rows

Embed = Callable[[mx.array], mx.array]


def unrolled(head: Head, embed: Embed, rows: Rows, states: mx.array) -> list[mx.array]:
    """The layer's output (rows, dim) of each step, not normalized.

    ``states`` are the target's (rows, features * dim) at the rows' places.
    """
    layer, chain = head.layers[0], _Chain(head.layers[0].self_attn, rows)
    features = head.features(states)[None]  # (1, rows, dim)
    outputs = []
    for step in rows.steps:
        embedded = embed(rows.tokens[step.read])[None].astype(features.dtype)
        joined, residual = layer.join(embedded, features)
        output = layer.finish(residual + chain.attend(joined))
        outputs.append(output[0])
        features = head.fed_back(output)
    return outputs


class _Chain:
    """The attention of all steps: it remembers the keys and values of those before."""

    def __init__(self, attention: HeadAttention, rows: Rows) -> None:
        self._attention = attention
        places = mx.arange(rows.count)
        # A row sees those of its own text that do not come after it.
        self._seen = (places[:, None] >= places[None]) & (rows.owners[:, None] == rows.owners[None])
        self._keys: list[mx.array] = []
        self._values: list[mx.array] = []

    def attend(self, joined: mx.array) -> mx.array:
        """The next step's rows (1, rows, 2 dim) to (1, rows, dim)."""
        attention, step = self._attention, len(self._keys)
        groups, repeats = attention.n_kv_heads, attention.n_heads // attention.n_kv_heads
        # Turned by its place in the pack: of two rows of a text the distance is the same there.
        q = attention.row_queries(joined, step)[0].astype(mx.float32) * attention.scale
        q = q.reshape(groups, repeats, *q.shape[1:])  # (G, H/G, rows, D)
        self._keys.append(attention.row_keys(joined, step)[0].astype(mx.float32)[:, None])
        self._values.append(attention.row_values(joined)[0].astype(mx.float32)[:, None])
        scores = q @ self._keys[0].swapaxes(-1, -2)  # (G, H/G, rows, rows)
        scores = mx.where(self._seen, scores, -mx.inf)
        own = [(q * keys).sum(axis=-1, keepdims=True) for keys in self._keys[1:]]
        weights = mx.softmax(mx.concatenate([scores, *own], axis=-1), axis=-1)
        rows = scores.shape[-1]
        out = weights[..., :rows] @ self._values[0]
        for place, values in enumerate(self._values[1:]):
            out = out + weights[..., rows + place, None] * values
        out = out.reshape(1, attention.n_heads, rows, attention.head_dim).astype(joined.dtype)
        return attention.out(out)


def useful_rows(outputs: Sequence[mx.array], rows: Rows) -> list[mx.array]:
    """Of each step's outputs those that have something to learn."""
    return [output[step.useful] for output, step in zip(outputs, rows.steps, strict=True)]
