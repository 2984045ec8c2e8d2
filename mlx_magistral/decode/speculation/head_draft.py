"""HeadDraft: an EAGLE-3 head guesses from what its target has in its layers, one id after another.

It is told of every pass of its target, the prompt's too, and reads on from there when it is asked:
what a row of it needs is a state and the id that came after it. Draws are coupled to the target's
as a draft model's are (draft_model.py). Rows that nobody asks for are read many at a time.
"""

# mypy: allow-untyped-calls, no-warn-return-any

from collections.abc import Sequence

import mlx.core as mx

from mlx_magistral.decode.driver import Driver
from mlx_magistral.decode.speculation.drafter import Drafter
from mlx_magistral.decode.speculation.head_prefixes import HeadPrefixes
from mlx_magistral.model.eagle.reading import LoadedHead
from mlx_magistral.model.eagle.taps import AuxTap
from mlx_magistral.model.eagle.window import WINDOW_TOKENS, WindowCache
from mlx_magistral.model.transformer import Transformer

# States wait until so many rows can be read at once.
_ROWS_AT_ONCE = 64


class HeadDraft(Drafter):
    """A head beside its target; ``for_reply`` gives each reply rows of its own.

    The rows of prompts are kept for replies that go on from them. Where none are kept, a reply that
    continues a reused prefix begins with those after it.
    """

    def __init__(
        self,
        head: LoadedHead,
        target: Transformer,
        guess_s: float = 0.0,
        prefixes: HeadPrefixes | None = None,
        window: int = WINDOW_TOKENS,
    ) -> None:
        self.guess_s = guess_s
        self.cache = WindowCache(window)
        self._head, self._target = head, target
        self._prefixes = HeadPrefixes() if prefixes is None else prefixes
        self._window = window
        self._states: list[mx.array] = []  # (rows, features * dim) each, from cache.place on
        self.tap = AuxTap(head.config.aux_layers)

    def for_reply(self) -> "HeadDraft":
        """The same weights and kept prompts, and no rows."""
        return HeadDraft(self._head, self._target, self.guess_s, self._prefixes, self._window)

    def go_on(self, tokens: Sequence[int], place: int) -> None:
        """Begin at a place of a text whose ids before it go through no pass of this reply."""
        self._states = []
        self._prefixes.fill(self.cache, tokens, place)
        self.cache.place = place

    def keep(self, tokens: Sequence[int]) -> None:
        """Keep the rows of all ids for replies whose text begins with them."""
        self._read_on(tokens, outputs=0)
        self._prefixes.add(tokens, self.cache)

    def saw(self, states: mx.array, place: int, tokens: Sequence[int]) -> None:
        """Take the target's states (rows, features * dim) from ``place`` on, not evaluated.

        Those of guesses may be wrong, and are replaced by what the next pass has there.
        """
        if len(tokens) - place - states.shape[0] > self._window:
            self.cache.trim(self.cache.offset)
            self._states, self.cache.place = [], place + states.shape[0]
            return  # so early in a long prompt that no guess looks back to it
        self._drop_from(place)
        self._states.append(states)
        if self._waiting >= _ROWS_AT_ONCE and self._known(tokens) >= _ROWS_AT_ONCE:
            self._read_on(tokens, outputs=0)
            # With the pass that they came from, and nothing of it is held any longer.
            mx.async_eval(self.cache.state)

    def propose(self, tokens: Sequence[int], count: int, driver: Driver) -> mx.array:
        """The ``count`` ids (count,) it expects after all ``tokens``, not evaluated."""
        layer, sampler, before = self._head.network.layers[0], driver.sampler, driver.sampler.state
        output = self._read_on(tokens, outputs=1)
        self._states = []
        drafted: list[mx.array] = []
        while True:
            rules = () if driver.must_see_id else driver.processors
            drafted.append(sampler(self.logits(output)[0], rules))
            if len(drafted) == count:
                break
            feature = self._head.network.fed_back(output)
            output = layer.read(self.embedded(drafted[-1]), feature, self.cache)
        sampler.state = before
        self.cache.trim(count - 1)
        return mx.concatenate(drafted)

    def logits(self, output: mx.array) -> mx.array:
        """The layer's output (1, rows, dim) to logits over the target's vocabulary."""
        network, targets = self._head.network, self._head.targets
        x = network.normalized(output)
        logits = network.lm_head(x) if "lm_head" in network else self._target.logits(x)
        if targets is None:
            return logits
        vocabulary = self._head.config.layer.vocab_size
        # What the head has no column for it never says.
        full = mx.full((*logits.shape[:-1], vocabulary), -mx.inf, logits.dtype)
        full[..., targets] = logits
        return full

    def embedded(self, tokens: mx.array) -> mx.array:
        """Of ids (n,), by the head's own embedding where it has one: (1, n, dim)."""
        network = self._head.network
        own = "embed_tokens" in network
        embed = network.embed_tokens if own else self._target.model.embed_tokens
        return embed(tokens)[None]

    @property
    def _waiting(self) -> int:
        return sum(each.shape[0] for each in self._states)

    def _known(self, tokens: Sequence[int]) -> int:
        """Rows whose state is there and whose next id is known."""
        return max(0, min(self._waiting, len(tokens) - 1 - self.cache.place))

    def _read_on(self, tokens: Sequence[int], outputs: int) -> mx.array:
        """Read all rows that are known; the output (1, outputs, dim) of the last."""
        count, place = self._known(tokens), self.cache.place
        if not count:
            return mx.zeros((1, 0, self._head.config.layer.dim))
        states = self._states[0] if len(self._states) == 1 else mx.concatenate(self._states)
        left = states.shape[0] - count
        self._states = [states[count:]] if left else []
        network = self._head.network
        embedded = self.embedded(mx.array(list(tokens[place + 1 : place + 1 + count])))
        features = network.features(states[:count])[None]
        return network.layers[0].read(embedded, features, self.cache, outputs)

    def _drop_from(self, place: int) -> None:
        """Forget what is there from a place on; what goes on further on leaves places out."""
        end = self.cache.place + self._waiting
        if place < self.cache.place:
            self.cache.trim(self.cache.place - place)
            self._states, self.cache.place = [], place
        elif place > end:
            self._states, self.cache.place = [], place
        elif place < end:
            kept = mx.concatenate(self._states)[: place - self.cache.place]
            self._states = [kept] if kept.shape[0] else []
