"""Sequence: one reply in a batch, from waiting to its last event.

Made by whatever thread asks for the reply; from then on only the batch's own thread touches it,
but for ``cancel`` and ``kept_tokens``.
"""

import time
from collections.abc import Callable

import mlx.core as mx

from mlx_magistral.batching.forward import Segment
from mlx_magistral.decode.driver import Driver
from mlx_magistral.decode.finite import NotFinite, not_finite_error
from mlx_magistral.decode.sampling import PendingDraw
from mlx_magistral.decode.speculation.gate import MOST_COPIED
from mlx_magistral.decode.speculation.shared_pass import SharedPass
from mlx_magistral.engine.guessing import make_drafts
from mlx_magistral.engine.progress import ReplyProgress
from mlx_magistral.engine.streaming import Loaded
from mlx_magistral.errors import GenerationError, MagistralError
from mlx_magistral.events import Event, FinishReason
from mlx_magistral.memory.prefixes.match import packed
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.caches import reserve

OnEvent = Callable[[Event | MagistralError], None]


class Sequence:
    """A reply's progress, its cache while it runs, and who is told of its events."""

    def __init__(self, progress: ReplyProgress, on_event: OnEvent, loaded: Loaded) -> None:
        self.progress = progress
        self.loaded = loaded  # whose reply it is: the batch's model, or a variant of it
        self.prompt = packed(progress.plan.prompt)
        self.cache: list[KVCache] = []  # empty until rows of it are read
        self.driver: Driver | None = None
        self.is_over = False
        self.started = time.monotonic()
        self._on_event = on_event
        self._is_cancelled = False

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has lost interest."""
        return self._is_cancelled

    def cancel(self) -> None:
        """End within one id; safe from any thread."""
        self._is_cancelled = True

    @property
    def kept_tokens(self) -> int:
        """Tokens in its cache; safe from any thread."""
        cache = self.cache
        return cache[0].offset if cache else 0

    @property
    def coming_tokens(self) -> int:
        """What its cache comes to hold by the next pass, the rest of the prompt included."""
        guessed = 0 if self.progress.drafts is None else MOST_COPIED
        return len(self.progress.tokens) + 1 + guessed

    @property
    def unread(self) -> list[int]:
        """Ids that the model has yet to read before the reply can begin or go on.

        Between two steps everything that was said is in the cache, but for what the driver puts in
        itself: so this is the rest of the prompt, or all ids again after ``pause``.
        """
        tokens = self.progress.tokens
        return tokens[self.kept_tokens : len(tokens) - (self.driver.ahead if self.driver else 0)]

    def start(
        self, shared: SharedPass, source: "Sequence | None" = None, source_tokens: int = 0
    ) -> None:
        """Get a cache, with what is known of the prompt in it: kept before, or by ``source``.

        ``shared`` is what others put into the passes that this reply takes part in.

        What another reply reads meanwhile does not count as cached: it was not there to be found.
        """
        tokens, memory, model = self.progress.tokens, self.loaded.memory, self.loaded.model
        cache = memory.new_cache(model)
        known = memory.restore(tokens, cache)
        if self.driver is None:
            self.progress.cached_tokens = known
        if source is not None and source_tokens > known:
            known, cache = source_tokens, memory.new_cache(model)
            reserve(cache, len(tokens))
            for layer, other in zip(cache, source.cache, strict=True):
                layer.copy_from(other, known)
        reserve(cache, len(tokens) - known)
        self.cache = cache
        if self.progress.drafts is None:
            self.progress.drafts = make_drafts(
                self.loaded, self.progress.plan, lambda: self.cache, shared
            )
        if self.progress.drafts is not None:
            self.progress.drafts.go_on(known)

    def pause(self) -> None:
        """Give the cache's memory back; ``start`` goes on where the reply was."""
        self.cache = []
        mx.clear_cache()

    def begin(self, logits: mx.array) -> None:
        """The prompt is read: draw the first id from its logits (1, vocab), unless it was drawn."""
        if self.driver is None:
            if self.progress.drafts is not None and self.loaded.memory.prefixes is not None:
                self.progress.drafts.keep()
            self.driver = self.progress.make_driver(logits)

    def segment(self, tokens: mx.array, wanted: int) -> Segment:
        """Ids (n,) that go through the model now; logits of the last ``wanted`` come of it."""
        return Segment(tokens, self.cache, wanted, self.progress.drafts)

    def prepare(self, logits: mx.array) -> PendingDraw | None:
        """The draw from this step's logits, to be made for ``accept``; None where it waits."""
        assert self.driver is not None
        return self.driver.prepare(logits)

    def accept(self, token: mx.array) -> None:
        """The draw that ``prepare`` returned, made."""
        assert self.driver is not None
        self.driver.accept(token)

    def read(self) -> None:
        """Take this step's ids and tell of their events; may end the reply."""
        assert self.driver is not None
        try:
            for token in self.driver.read(self.cache):
                self._tell(self.progress.take(token))
                if self.progress.reason is not None:
                    self.finish(self.progress.reason)
                    return
        except NotFinite as error:
            raise not_finite_error(self.loaded.model, self.cache) from error
        if self.driver.is_done:
            self.finish(FinishReason.LENGTH)

    def finish(self, reason: FinishReason, *, is_out_of_memory: bool = False) -> None:
        """Tell of the last events; the reply is over."""
        events = self.progress.finish(reason, is_out_of_memory=is_out_of_memory)
        self.is_over = True
        self._tell(events)

    def fail(self, error: Exception) -> None:
        """End with an error instead; whoever asked may be the reason, and is told if possible.

        A reply that is over already was told of its end, and stays as it is.
        """
        was_over, self.is_over = self.is_over, True
        self.cache = []  # Who knows what it holds.
        if was_over:
            return
        if not isinstance(error, MagistralError):
            kind = type(error).__name__
            failure = GenerationError(f"The reply failed ({kind}: {error}). Ask again.")
            failure.__cause__ = error
            error = failure
        try:
            self._on_event(error)
        except Exception:  # Nobody is left to hear of it.
            self._is_cancelled = True

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            self._on_event(event)
