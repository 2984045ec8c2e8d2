"""How far apart two models are on the same tokens: KL, agreement, perplexity, error by layer.

Both models stream through layer by layer, so neither has to fit: memory is one layer in float32
and the hidden states of the tokens, twice.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mlx_magistral.errors import ConversionError

from .calibration.data import KindArray
from .calibration.kernels import rms_norm
from .calibration.layer import layer_forward
from .progress import Watcher
from .rounding.dense import Array, library, product, settle, working
from .rounding.feedback import FloatArray
from .sources.finite import require_finite
from .sources.layer_weights import (
    TokenArray,
    embed,
    head_name,
    read_layer,
    read_rows,
    read_tensor,
    require_tokens,
)
from .sources.source import BlockRequest, Source, row_blocks

# Logits of one model held at a time, 64 MB in float32; the vocabulary goes by in blocks of rows.
_LOGITS_AT_ONCE = 1 << 24
_LEAST_ROWS = 256
_EMBEDDING, _NORM = "model.embed_tokens.weight", "model.norm.weight"


@dataclass(frozen=True)
class Comparison:
    """Model A against model B; KL is of A's distribution from B's, in nats a token."""

    tokens: int
    kl_mean: float
    kl_median: float
    kl_p99: float
    top1_agreement: float
    perplexity_a: float
    perplexity_b: float
    layer_errors: tuple[float, ...]  # relative error of B's hidden states after each layer
    by_kind: Mapping[str, "KindOfText"] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """The figures by readable name, without the layers, rounded to what they are worth."""
        kinds = {name: kind.summary() for name, kind in sorted(self.by_kind.items())}
        return {
            "tokens": self.tokens,
            "KL mean": float(f"{self.kl_mean:.4g}"),
            "KL median": float(f"{self.kl_median:.4g}"),
            "KL 99 %": float(f"{self.kl_p99:.4g}"),
            "top-1 agreement": float(f"{self.top1_agreement:.4g}"),
            "perplexity of A": float(f"{self.perplexity_a:.5g}"),
            "perplexity of B": float(f"{self.perplexity_b:.5g}"),
        } | ({"by kind": kinds} if kinds else {})


@dataclass(frozen=True)
class KindOfText:
    """The same of one kind of text alone."""

    tokens: int
    kl_mean: float
    top1_agreement: float

    def summary(self) -> dict[str, Any]:
        """The figures by readable name, rounded to what they are worth."""
        return {
            "tokens": self.tokens,
            "KL mean": float(f"{self.kl_mean:.4g}"),
            "top-1 agreement": float(f"{self.top1_agreement:.4g}"),
        }


def compare_models(
    a: Source,
    b: Source,
    sequences: TokenArray,
    watcher: Watcher | None = None,
    *,
    kinds: KindArray | None = None,
) -> Comparison:
    """Run both models on token ids (N, L), of the ``kinds`` of text (N, L).

    Raises ConversionError where the models or the ids do not match.
    """
    for key in ("n_layers", "vocab_size"):
        if getattr(a.config, key) != getattr(b.config, key):
            raise ConversionError(
                f"The models differ in {key}: {getattr(a.config, key)} and "
                f"{getattr(b.config, key)}. Compare two forms of one model."
            )
    require_tokens(a, sequences)
    watcher = watcher or Watcher()
    watcher.expected(a.config.n_layers)
    hidden_a, hidden_b = (_embedded(side, sequences) for side in (a, b))
    layer_errors = []
    for layer in range(a.config.n_layers):
        watcher.started(f"layer {layer}")
        for side, hidden in ((a, hidden_a), (b, hidden_b)):
            weights = read_layer(side, layer)
            for place, states in enumerate(hidden):
                hidden[place] = layer_forward(weights, states, side.config)
                settle(hidden[place])
                named = {f"model.layers.{layer}.{name}": each for name, each in weights.items()}
                require_finite(hidden[place], side, f"layer {layer}", named)
        layer_errors.append(_relative_error(hidden_a, hidden_b))
        watcher.advanced(1)
    watcher.started("logits")
    measured = _compare_logits(a, b, hidden_a, hidden_b, sequences, kinds)
    return replace(measured, layer_errors=tuple(layer_errors))


def _embedded(source: Source, sequences: TokenArray) -> list[Array]:
    """The hidden states of each sequence before the first layer."""
    hidden = []
    for row in sequences:
        states = embed(source, row[None])
        require_finite(states, source, "the embedding", {_EMBEDDING: states})
        hidden.append(working(states))
    return hidden


def _relative_error(hidden_a: list[Array], hidden_b: list[Array]) -> float:
    pairs = list(zip(hidden_a, hidden_b, strict=True))
    error = sum(float(((a - b) ** 2).sum()) for a, b in pairs)
    norm = sum(float((a**2).sum()) for a, _ in pairs)
    return math.sqrt(error / norm)


def _compare_logits(
    a: Source,
    b: Source,
    hidden_a: list[Array],
    hidden_b: list[Array],
    sequences: TokenArray,
    kinds: KindArray | None,
) -> Comparison:
    inputs_a, inputs_b = _head_inputs(a, hidden_a), _head_inputs(b, hidden_b)
    following = np.roll(sequences, -1, axis=1)
    sums = _VocabularySums(following.reshape(-1))
    rows = max(_LEAST_ROWS, _LOGITS_AT_ONCE // sequences.size)
    name_a, name_b = head_name(a), head_name(b)
    for block in row_blocks(a, name_a, rows * a.config.dim):
        part_a = _logits(inputs_a, a, block)
        part_b = _logits(inputs_b, b, replace(block, tensor=name_b))
        sums.add(block.start, part_a, part_b)
    kl = sums.divergences()
    has_next = np.ones(sequences.shape, bool)
    has_next[:, -1] = False
    losses_a, losses_b = (side.losses()[has_next.reshape(-1)] for side in (sums.a, sums.b))
    is_same = sums.a.best == sums.b.best
    return Comparison(
        tokens=kl.size,
        kl_mean=float(kl.mean()),
        kl_median=float(np.median(kl)),
        kl_p99=float(np.quantile(kl, 0.99)),
        top1_agreement=float(is_same.mean()),
        perplexity_a=float(np.exp(losses_a.mean())),
        perplexity_b=float(np.exp(losses_b.mean())),
        layer_errors=(),
        by_kind={} if kinds is None else _by_kind(kinds.reshape(-1), kl, is_same),
    )


def _by_kind(
    kinds: KindArray, kl: FloatArray, is_same: npt.NDArray[np.bool_]
) -> dict[str, KindOfText]:
    parts = {}
    for kind in np.unique(kinds):
        chosen = kinds == kind
        same = float(is_same[chosen].mean())
        parts[str(kind)] = KindOfText(int(chosen.sum()), float(kl[chosen].mean()), same)
    return parts


def _head_inputs(source: Source, hidden: list[Array]) -> Array:
    gain = read_tensor(source, _NORM)
    states = library(hidden[0]).concatenate(hidden)
    flat = states.reshape(-1, source.config.dim)  # (tokens, D)
    inputs = rms_norm(flat, gain, source.config.norm_eps)
    require_finite(inputs, source, "the last norm", {_NORM: gain})
    return inputs


def _logits(inputs: Array, source: Source, block: BlockRequest) -> Array:
    """Those of some rows of the vocabulary."""
    rows = read_rows(source, block)
    part = product(inputs, rows.T)
    require_finite(part, source, "the head", {block.tensor: rows})
    return part


class _Side:
    """Softmax of one model as the vocabulary goes by, without ever holding all logits."""

    def __init__(self, targets: TokenArray) -> None:
        self._targets = targets
        self.largest = np.full(targets.shape, -np.inf, np.float32)
        self.total = np.zeros(targets.shape, np.float32)  # of exp(logit - largest)
        self.best = np.zeros(targets.shape, np.int64)
        self._at_target = np.zeros(targets.shape, np.float32)

    def add(self, start: int, logits: Array) -> tuple[Array, FloatArray]:
        """Take logits (tokens, R); return exp(logit - largest) and what older sums shrink by."""
        xp = library(logits)
        top = np.asarray(xp.max(logits, axis=-1))
        place = np.asarray(xp.argmax(logits, axis=-1)) + start
        self.best = np.where(top > self.largest, place, self.best)
        largest = np.maximum(self.largest, top)
        shrink = np.exp(self.largest - largest)
        shares = xp.exp(logits - xp.array(largest)[:, None])
        self.total = self.total * shrink + np.asarray(xp.sum(shares, axis=-1))
        self.largest = largest
        inside = np.nonzero((self._targets >= start) & (self._targets < start + logits.shape[1]))[0]
        if inside.size:
            columns = xp.array(self._targets[inside] - start)
            self._at_target[inside] = np.asarray(logits[xp.array(inside), columns])
        return shares, shrink

    def log_totals(self) -> FloatArray:
        """The logarithm of the sum of exp(logit)."""
        logs: FloatArray = self.largest + np.log(self.total)
        return logs

    def losses(self) -> FloatArray:
        """The negative log-probability of each target."""
        return self.log_totals() - self._at_target


class _VocabularySums:
    """KL of A's distribution from B's, summed up over blocks of the vocabulary."""

    def __init__(self, targets: TokenArray) -> None:
        self.a, self.b = _Side(targets), _Side(targets)
        self._gap = np.zeros(targets.shape, np.float32)  # sum of exp(a - largest) * (a - b)

    def add(self, start: int, logits_a: Array, logits_b: Array) -> None:
        shares, shrink = self.a.add(start, logits_a)
        self.b.add(start, logits_b)
        gap = library(shares).sum(shares * (logits_a - logits_b), axis=-1)
        self._gap = self._gap * shrink + np.asarray(gap)

    def divergences(self) -> FloatArray:
        """Nats a token."""
        mean_gap = self._gap / self.a.total
        return mean_gap - self.a.log_totals() + self.b.log_totals()
