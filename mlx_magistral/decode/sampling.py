"""From logits to the next id: penalties, temperature, top-k, top-p, min-p, seed.

The order is vLLM's, the runtime the model card recommends: penalties (penalties.py), temperature,
then the filters on the tempered distribution. Everything stays on the device; nothing here waits
for a result.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import mlx.core as mx

from mlx_magistral.decode.nucleus import RowFilter, draw_rows, split_rows
from mlx_magistral.decode.penalties import Penalties, PenaltyOptions
from mlx_magistral.decode.rules.logits_processors import LogitsProcessor
from mlx_magistral.errors import UsageError
from mlx_magistral.options import require_number, require_whole

_LEAST_TEMPERATURE = 1e-5  # as in vLLM
_ADDED = ("frequency_penalty", "presence_penalty")


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How ids are drawn. The defaults are the model card's.

    ``temperature=0`` is greedy, and so is less than a hundred-thousandth: such logits are no
    numbers any more once they are divided.

    ``top_k=0``, ``top_p=1``, ``min_p=0``, ``repetition_penalty=1`` and the other penalties at 0
    each switch their step off. ``logit_bias`` is added to the logits of single ids. Raises
    UsageError for a value outside its range.
    """

    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("temperature", "top_p", "min_p", "repetition_penalty", *_ADDED):
            require_number(name, getattr(self, name))
        require_whole("top_k", self.top_k)
        if self.seed is not None:
            require_whole("seed", self.seed)
        _require(self.temperature >= 0, "temperature", self.temperature, "0 or more")
        _require(0 < self.top_p <= 1, "top_p", self.top_p, "above 0 and at most 1")
        _require(self.top_k >= 0, "top_k", self.top_k, "0 (off) or more")
        _require(0 <= self.min_p < 1, "min_p", self.min_p, "0 (off) or more and below 1")
        _require(
            self.repetition_penalty > 0, "repetition_penalty", self.repetition_penalty, "above 0"
        )
        for name in _ADDED:
            _require(-2 <= getattr(self, name) <= 2, name, getattr(self, name), "from -2 to 2")
        if self.logit_bias is not None and not isinstance(self.logit_bias, Mapping):
            raise UsageError(f"logit_bias must be ids with numbers, not {self.logit_bias!r}.")
        for token, bias in (self.logit_bias or {}).items():
            require_whole("logit_bias", token)
            require_number(f"logit_bias of {token}", bias)
            _require(-100 <= bias <= 100, f"logit_bias of {token}", bias, "from -100 to 100")
        _require(
            self.seed is None or 0 <= self.seed < 2**64, "seed", self.seed, "from 0 to 2**64 - 1"
        )

    @property
    def is_greedy(self) -> bool:
        return self.temperature < _LEAST_TEMPERATURE

    @property
    def penalties(self) -> PenaltyOptions:
        return PenaltyOptions(
            self.repetition_penalty,
            self.frequency_penalty,
            self.presence_penalty,
            self.logit_bias,
        )

    def require_ids(self, vocab_size: int) -> None:
        """Raise UsageError for a bias of an id that the vocabulary does not have."""
        for token in self.logit_bias or {}:
            if not 0 <= token < vocab_size:
                raise UsageError(
                    f"logit_bias names the id {token}, and the vocabulary has {vocab_size:,}."
                )


# The random key, and what penalties remember where there are any.
SamplerState = tuple[mx.array, Penalties | None]


class Sampler:
    """Draws one id at a time; the random state and the ids that came so far live here."""

    def __init__(self, options: SamplingOptions, prompt_tokens: list[int], vocab_size: int) -> None:
        self.options = options
        self.key = mx.random.key(secrets.randbits(64) if options.seed is None else options.seed)
        self._penalties = Penalties.begin(options.penalties, prompt_tokens, vocab_size)

    def __call__(self, logits: mx.array, processors: Sequence[LogitsProcessor] = ()) -> mx.array:
        """Draw from logits of shape (1, vocab); returns a lazy uint32 id of shape (1,)."""
        return draw_together([self.prepare(logits, processors)])[0]

    def prepare(
        self, logits: mx.array, processors: Sequence[LogitsProcessor] = ()
    ) -> "PendingDraw":
        """A draw for ``draw_together``, penalties and processors applied."""
        if not processors and self._penalties is None and self.options.is_greedy:
            return PendingDraw(self, logits)  # the largest is the largest in any precision
        logits = logits.astype(mx.float32)
        if self._penalties is not None:
            logits = self._penalties.apply(logits)
        for process in processors:
            logits = process(logits)
        return PendingDraw(self, logits)

    @property
    def state(self) -> SamplerState:
        """What the next draw depends on beside its logits; set it to go back to it."""
        return self.key, self._penalties

    @state.setter
    def state(self, state: SamplerState) -> None:
        self.key, self._penalties = state

    def write(self, tokens: Sequence[int]) -> None:
        """Take note of ids that were not drawn here."""
        for token in tokens:
            self.see(mx.array([token]))

    def see(self, token: mx.array) -> None:
        """Take note of an id, for the penalties."""
        if self._penalties is not None:
            self._penalties = self._penalties.after(token)


class PendingDraw(NamedTuple):
    """A draw that is due, from logits (1, vocab)."""

    sampler: Sampler
    logits: mx.array


def draw_together(draws: Sequence[PendingDraw]) -> list[mx.array]:
    """The ids of several replies' draws, each lazy, uint32 and of shape (1,), noted by its sampler.

    Those that are filtered alike are made in one go; each is what it would be alone.
    """
    if len(draws) == 1:
        return _draw_alike(draws)
    drawn: dict[int, mx.array] = {}
    for indices in _alike(draws).values():
        drawn.update(zip(indices, _draw_alike([draws[each] for each in indices]), strict=True))
    return [drawn[index] for index in range(len(draws))]


def _draw_alike(draws: Sequence[PendingDraw]) -> list[mx.array]:
    samplers = [draw.sampler for draw in draws]
    rows = draws[0].logits if len(draws) == 1 else mx.concatenate([draw.logits for draw in draws])
    if samplers[0].options.is_greedy:
        chosen = mx.argmax(rows, axis=-1)
        tokens = [chosen] if len(draws) == 1 else split_rows(chosen)
    else:
        tokens = draw_rows(rows, _next_keys(samplers), _row_filter(samplers))
    for sampler, token in zip(samplers, tokens, strict=True):
        sampler.see(token)
    return tokens


def _alike(draws: Sequence[PendingDraw]) -> dict[tuple[bool, bool, bool, int], list[int]]:
    """Indices of the draws that take the same steps."""
    groups: dict[tuple[bool, bool, bool, int], list[int]] = {}
    for index, draw in enumerate(draws):
        options = draw.sampler.options
        steps = options.is_greedy, options.top_p < 1, options.min_p > 0, options.top_k
        groups.setdefault(steps, []).append(index)
    return groups


def _next_keys(samplers: Sequence[Sampler]) -> list[mx.array]:
    """Each sampler's key for this draw; it goes on with another."""
    if len(samplers) == 1:
        samplers[0].key, key = mx.random.split(samplers[0].key)
        return [key]
    split: Callable[[mx.array], mx.array] = mx.vmap(mx.random.split)
    pairs = split(mx.stack([sampler.key for sampler in samplers]))  # (n, 2, 2)
    own: list[mx.array] = []
    for sampler, pair in zip(samplers, pairs, strict=True):
        sampler.key, key = pair
        own.append(key)
    return own


def _row_filter(samplers: Sequence[Sampler]) -> RowFilter:
    every = [sampler.options for sampler in samplers]
    return RowFilter(
        [options.temperature for options in every],
        [options.top_p for options in every],
        [options.min_p for options in every],
        every[0].top_k,
    )


def _require(is_valid: bool, name: str, value: object, expected: str) -> None:
    if not is_valid:
        raise UsageError(f"{name} must be {expected}, not {value}.")
