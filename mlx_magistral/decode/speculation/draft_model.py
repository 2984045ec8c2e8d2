"""DraftModel: a smaller model of the same vocabulary guesses, one id after the other.

It draws with the reply's own sampler options and the very random numbers that the target will use
at those positions, which makes the two agree more often than two independent draws would
(a common-random-numbers coupling) and, since the target draws for itself, changes nothing else.
Its ids stay on the device: a draft of k ids is k passes of the small model and no host sync.
"""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx

from mlx_magistral.decode.driver import Driver
from mlx_magistral.decode.speculation.drafter import Drafter

# Ids the draft model is behind by go in at most so many at a time.
_CHUNK_TOKENS = 512


class DraftModel(Drafter):
    """A loaded model that guesses; ``for_reply`` gives each reply its own KV cache."""

    def __init__(self, model: Any, new_cache: Callable[[], list[Any]], guess_s: float) -> None:
        self.guess_s = guess_s
        self._model = model
        self._new_cache = new_cache
        self._cache = new_cache()
        self._seen: list[int] = []  # ids in the cache

    def for_reply(self) -> "DraftModel":
        """The same weights with an empty cache."""
        return DraftModel(self._model, self._new_cache, self.guess_s)

    def propose(self, tokens: Sequence[int], count: int, driver: Driver) -> mx.array:
        """The ``count`` ids (count,) it expects after all ``tokens``, not evaluated.

        Catches up first with the ids that came since it was last asked.
        """
        logits = self._catch_up(tokens)
        sampler, before = driver.sampler, driver.sampler.state
        drafted: list[mx.array] = []
        while True:
            token = sampler(logits, () if driver.must_see_id else driver.processors)
            drafted.append(token)
            if len(drafted) == count:
                break
            logits = self._model(token[:, None], self._cache)[:, -1]
        sampler.state = before
        # What was guessed may be wrong: the next call puts the right ids in its place.
        for layer in self._cache:
            layer.trim(count - 1)
        return mx.concatenate(drafted)

    def _catch_up(self, tokens: Sequence[int]) -> mx.array:
        """Logits (1, vocab) after all ids, of which the last one at least goes through."""
        known = len(self._seen)
        missing = list(tokens[known:])
        assert missing
        self._seen += missing
        while len(missing) > _CHUNK_TOKENS:
            self._model(mx.array([missing[:_CHUNK_TOKENS]]), self._cache)
            mx.eval([layer.state for layer in self._cache])
            missing = missing[_CHUNK_TOKENS:]
        logits: mx.array = self._model(mx.array([missing]), self._cache)[:, -1]
        return logits
