"""How far apart two models are on the same tokens: KL, agreement, perplexity, error by layer.

Both models stream through layer by layer, so neither has to fit: memory is one layer in float32
and the hidden states of the tokens, twice.
"""

import math
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_magistral.errors import ConversionError

from .dense import product
from .feedback import FloatArray
from .layer import layer_forward
from .layer_weights import TokenArray, embed, head_name, read_layer, read_tensor
from .progress import Watcher
from .quantize import number
from .source import Source

# Rows of logits at a time: 131,072 of them are 0.13 GB in float32 for 256 tokens.
_LOGIT_TOKENS = 256


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

    def summary(self) -> dict[str, Any]:
        """The figures by readable name, without the layers, rounded to what they are worth."""
        return {
            "tokens": self.tokens,
            "KL mean": float(f"{self.kl_mean:.4g}"),
            "KL median": float(f"{self.kl_median:.4g}"),
            "KL 99 %": float(f"{self.kl_p99:.4g}"),
            "top-1 agreement": float(f"{self.top1_agreement:.4g}"),
            "perplexity of A": float(f"{self.perplexity_a:.5g}"),
            "perplexity of B": float(f"{self.perplexity_b:.5g}"),
        }


def compare_models(
    a: Source, b: Source, sequences: TokenArray, watcher: Watcher | None = None
) -> Comparison:
    """Run both models on token ids (N, L). Raises ConversionError where they do not match."""
    for key in ("n_layers", "vocab_size"):
        if getattr(a.config, key) != getattr(b.config, key):
            raise ConversionError(
                f"The models differ in {key}: {getattr(a.config, key)} and "
                f"{getattr(b.config, key)}. Compare two forms of one model."
            )
    watcher = watcher or Watcher()
    hidden_a, hidden_b = ([embed(side, row[None]) for row in sequences] for side in (a, b))
    layer_errors = []
    for layer in range(a.config.n_layers):
        watcher.started(f"layer {layer}")
        for side, hidden in ((a, hidden_a), (b, hidden_b)):
            weights = read_layer(side, layer)
            for place, states in enumerate(hidden):
                hidden[place] = layer_forward(weights, states, side.config)
                mx.eval(hidden[place])
        layer_errors.append(_relative_error(hidden_a, hidden_b))
    watcher.started("logits")
    return _compare_logits(a, b, hidden_a, hidden_b, sequences, tuple(layer_errors))


def _relative_error(hidden_a: list[mx.array], hidden_b: list[mx.array]) -> float:
    pairs = list(zip(hidden_a, hidden_b, strict=True))
    error = sum(number(mx.sum(mx.square(a - b))) for a, b in pairs)
    norm = sum(number(mx.sum(mx.square(a))) for a, _ in pairs)
    return math.sqrt(error / norm)


def _compare_logits(
    a: Source,
    b: Source,
    hidden_a: list[mx.array],
    hidden_b: list[mx.array],
    sequences: TokenArray,
    layer_errors: tuple[float, ...],
) -> Comparison:
    head_a, head_b = _Head(a), _Head(b)
    kl, agreement = [], []
    losses_a: list[FloatArray] = []
    losses_b: list[FloatArray] = []
    length = sequences.shape[1]
    for states_a, states_b, tokens in zip(hidden_a, hidden_b, sequences, strict=True):
        for begin in range(0, length, _LOGIT_TOKENS):
            span = slice(begin, min(begin + _LOGIT_TOKENS, length))
            log_a, log_b = (
                head_a.log_shares(states_a[0, span]),
                head_b.log_shares(states_b[0, span]),
            )
            kl.append(np.array(mx.sum(mx.exp(log_a) * (log_a - log_b), axis=-1)))
            agreement.append(np.array(mx.argmax(log_a, axis=-1) == mx.argmax(log_b, axis=-1)))
            following = mx.array(tokens[begin + 1 : span.stop + 1][:, None])  # the last has none
            rows = following.shape[0]
            for logs, losses in ((log_a, losses_a), (log_b, losses_b)):
                losses.append(-np.array(mx.take_along_axis(logs[:rows], following, axis=-1)[:, 0]))
    every = np.concatenate(kl)
    return Comparison(
        tokens=every.size,
        kl_mean=float(every.mean()),
        kl_median=float(np.median(every)),
        kl_p99=float(np.quantile(every, 0.99)),
        top1_agreement=float(np.concatenate(agreement).mean()),
        perplexity_a=float(np.exp(np.concatenate(losses_a).mean())),
        perplexity_b=float(np.exp(np.concatenate(losses_b).mean())),
        layer_errors=layer_errors,
    )


class _Head:
    """The final norm and the head of one model, in float32."""

    def __init__(self, source: Source) -> None:
        self._gain = read_tensor(source, "model.norm.weight")
        self._matrix = read_tensor(source, head_name(source)).astype(mx.float32)
        self._epsilon = source.config.norm_eps

    def log_shares(self, hidden: mx.array) -> mx.array:
        """Log-probabilities (tokens, vocab) of hidden states (tokens, D)."""
        normed = mx.fast.rms_norm(hidden, self._gain, self._epsilon)
        logits = product(normed, self._matrix.T)
        return logits - mx.logsumexp(logits, axis=-1, keepdims=True)
