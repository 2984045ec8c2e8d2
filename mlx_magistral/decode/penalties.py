"""What a sampler does to logits before it draws: biases of single ids, and penalties for repeats.

As in vLLM and in its order: the bias first; the repetition penalty (Keskar et al. 2019, arXiv
1909.05858) for ids of the prompt and of the reply; then, as OpenAI defines them, the frequency
penalty for each time that an id has come in the reply and the presence penalty for having come at
all. Everything stays on the device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import mlx.core as mx


@dataclass(frozen=True)
class PenaltyOptions:
    """1, 0, 0 and no bias change nothing."""

    repetition: float = 1.0
    frequency: float = 0.0
    presence: float = 0.0
    bias: Mapping[int, float] | None = None


@dataclass(frozen=True)
class Penalties:
    """What has come so far, for the options; each array is (vocab,), None where it is not needed.

    Never changed in place: a state that may be gone back to has to stay as it was.
    """

    options: PenaltyOptions
    bias: mx.array | None  # float32
    seen: mx.array | None  # bool, prompt and reply
    counts: mx.array | None  # float32, of the reply

    @classmethod
    def begin(
        cls, options: PenaltyOptions, prompt_tokens: Sequence[int], vocab_size: int
    ) -> "Penalties | None":
        """Before the first draw; None where nothing would be done."""
        bias = seen = counts = None
        if options.bias:
            bias = mx.zeros((vocab_size,))
            bias[mx.array(list(options.bias))] = mx.array(list(options.bias.values()))
        if options.repetition != 1:
            seen = mx.zeros((vocab_size,), dtype=mx.bool_)
            seen[mx.array(list(prompt_tokens))] = True
        if options.frequency or options.presence:
            counts = mx.zeros((vocab_size,))
        if bias is seen is counts is None:
            return None
        return cls(options, bias, seen, counts)

    def apply(self, logits: mx.array) -> mx.array:
        """Logits (1, vocab), float32, as they are drawn from."""
        options = self.options
        if self.bias is not None:
            logits = logits + self.bias
        if self.seen is not None:
            repeated = mx.where(
                logits > 0, logits / options.repetition, logits * options.repetition
            )
            logits = mx.where(self.seen, repeated, logits)
        if self.counts is not None:
            logits = logits - options.frequency * self.counts - options.presence * (self.counts > 0)
        return logits

    def after(self, token: mx.array) -> "Penalties":
        """The state once an id (1,) has come."""
        if self.seen is None and self.counts is None:
            return self
        size = next(each.shape[0] for each in (self.seen, self.counts) if each is not None)
        is_it = mx.arange(size) == token
        return replace(
            self,
            seen=None if self.seen is None else self.seen | is_it,
            counts=None if self.counts is None else self.counts + is_it,
        )
