"""Draws of several rows at once: tempered, filtered, and each by its own random number.

A row's draw is the same whoever is beside it. It is taken in sorted order from the cumulative sum
that top-p needs anyway: the first id whose sum passes the random share of what is kept.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import mlx.core as mx

from mlx_magistral.model import device

# Sorting all of 131,072 ids takes 12 ms on the CPU of two cores this was measured on, finding and
# sorting these 2. A nucleus of more ids, an eighth of the vocabulary, is cut to them.
_WIDEST_NUCLEUS = 16_384
_KEEP_ALL = 2.0  # no cumulative sum comes to this

# Logits (n, vocab) and columns (n, 1): temperatures, random numbers, nuclei and logarithms of
# min_ps; ids (n,).
_Choice = Callable[[mx.array, mx.array, mx.array, mx.array, mx.array], mx.array]


class RowFilter(NamedTuple):
    """What each of n rows keeps; ``top_k`` is one for all of them, 0 for no limit."""

    temperatures: Sequence[float]
    top_ps: Sequence[float]
    min_ps: Sequence[float]
    top_k: int


def draw_rows(logits: mx.array, keys: Sequence[mx.array], kept: RowFilter) -> list[mx.array]:
    """Draw from logits (n, vocab), float32; returns n ids, each lazy, uint32 and of shape (1,)."""
    temperatures, has_floor = _column(kept.temperatures), any(kept.min_ps)
    log_min_ps = mx.log(_column(kept.min_ps)) if has_floor else temperatures  # the latter unused
    if kept.top_k == 0 and min(kept.top_ps) == 1:
        tempered = _tempered(logits, temperatures, log_min_ps, has_floor)
        rows = zip(split_rows(tempered), keys, strict=True)
        return [mx.random.categorical(row, key=key) for row, key in rows]
    choose = (_fused_choice if device.is_gpu() else _choice)(kept.top_k, has_floor)
    nuclei = _column([_KEEP_ALL if top_p == 1 else top_p for top_p in kept.top_ps])
    return split_rows(choose(logits, temperatures, _uniforms(keys), nuclei, log_min_ps))


def split_rows(array: mx.array) -> list[mx.array]:
    """Each row, its first axis kept."""
    rows = array.shape[0]
    parts = [array] if rows == 1 else mx.split(array, rows, axis=0)
    assert isinstance(parts, list)
    return parts


@cache
def _fused_choice(top_k: int, has_floor: bool) -> _Choice:
    """Compiled once for each; not on a CPU, where that starts a C++ compiler."""
    fused: _Choice = mx.compile(_choice(top_k, has_floor))
    return fused


def _choice(top_k: int, has_floor: bool) -> _Choice:
    def choose(
        logits: mx.array,
        temperatures: mx.array,
        uniforms: mx.array,
        nuclei: mx.array,
        log_min_ps: mx.array,
    ) -> mx.array:
        logits = _tempered(logits, temperatures, log_min_ps, has_floor)
        order = _likeliest(logits, top_k or _WIDEST_NUCLEUS)
        ranked = mx.take_along_axis(logits, order, axis=-1)
        # Shares of all ids, but for those that top_k leaves out.
        if top_k or ranked.shape == logits.shape:
            shares = mx.softmax(ranked, axis=-1)
        else:
            shares = mx.exp(ranked - mx.logsumexp(logits, axis=-1, keepdims=True))
        before = mx.cumsum(shares, axis=-1) - shares
        is_kept = (before < nuclei) & (shares > 0)
        mass = mx.sum(mx.where(is_kept, shares, 0), axis=-1, keepdims=True)
        wanted = mass * uniforms
        ranks = mx.sum(is_kept & (before <= wanted), axis=-1, keepdims=True) - 1
        return mx.take_along_axis(order, ranks, axis=-1)[:, 0]

    return choose


def _tempered(
    logits: mx.array, temperatures: mx.array, log_min_ps: mx.array, has_floor: bool
) -> mx.array:
    logits = logits / temperatures
    if not has_floor:
        return logits
    # p >= min_p * p_max, without a softmax: the normaliser cancels. log 0 keeps all.
    floor = mx.max(logits, axis=-1, keepdims=True) + log_min_ps
    return mx.where(logits >= floor, logits, -mx.inf)


def _uniforms(keys: Sequence[mx.array]) -> mx.array:
    """A random number (n, 1) of each key, the one it would give alone."""
    if len(keys) == 1:
        return mx.random.uniform(shape=(1, 1), key=keys[0])
    draw: Callable[[mx.array], mx.array] = mx.vmap(
        lambda key: mx.random.uniform(shape=(1,), key=key)
    )
    return draw(mx.stack(list(keys)))


def _column(values: Sequence[float]) -> mx.array:
    return mx.array(list(values))[:, None]


def _likeliest(logits: mx.array, count: int) -> mx.array:
    """The indices (n, count) of each row's largest logits, best first."""
    if count >= logits.shape[-1] or device.is_gpu():
        # To find the largest Metal sorts all of them, as for their order.
        return mx.argsort(-logits, axis=-1)[..., :count]
    found = mx.argpartition(-logits, count - 1, axis=-1)[..., :count]
    ranks = mx.argsort(-mx.take_along_axis(logits, found, axis=-1), axis=-1)
    return mx.take_along_axis(found, ranks, axis=-1)
