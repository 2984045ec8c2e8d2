"""AuxTap: takes hidden states out of a pass on its way, for a head that drafts from them.

The model knows nothing of it: a pass hands out what goes on from each layer to whoever asks, and a
pass that nobody taps does not even call.
"""

from collections.abc import Sequence

import mlx.core as mx


class AuxTap:
    """Give it to ``hidden`` as ``after_layer``, then ``take`` what it saw.

    ``layers`` are counted as published heads count them: what goes into layer i is what goes on
    from layer i - 1.
    """

    def __init__(self, layers: Sequence[int]) -> None:
        self._after = [layer - 1 for layer in layers]
        self._place = 0
        self._seen: dict[int, mx.array] = {}

    def __call__(self, x: mx.array) -> None:
        """See what goes on from the next layer, (B, L, dim)."""
        if self._place in self._after:
            self._seen[self._place] = x
        self._place += 1

    def take(self) -> mx.array:
        """The states of all rows (B, L, layers * dim), not evaluated; ready for another pass."""
        states = mx.concatenate([self._seen[each] for each in self._after], axis=-1)
        self._seen, self._place = {}, 0
        return states

    def drop(self) -> None:
        """Forget a pass that was given up."""
        self._seen, self._place = {}, 0
