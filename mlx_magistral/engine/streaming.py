"""One reply on its way: prefill, decode, and the events that come of the ids.

Everything a reply needs is passed in and everything it changes lives here, so replies of one model
share weights, tokenizer and the memory of earlier prompts, and nothing else.
"""

from collections.abc import Generator, Iterator
from typing import Protocol

import mlx.core as mx

from mlx_magistral.decode.generate import OnPrefill, decode, prefill
from mlx_magistral.decode.speculation.drafter import Drafter
from mlx_magistral.decode.speculation.pass_costs import PassCosts
from mlx_magistral.engine.guessing import make_drafts
from mlx_magistral.engine.progress import ReplyProgress
from mlx_magistral.engine.turn import in_turn
from mlx_magistral.events import Event, FinishReason
from mlx_magistral.memory.runtime import ModelMemory
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.text.tokenizer import Tokenizer


class Loaded(Protocol):
    """What all replies of a loaded model have in common; Magistral is one."""

    tokenizer: Tokenizer
    memory: ModelMemory
    load_s: float
    draft_model: Drafter | None

    @property
    def model(self) -> Transformer:
        """The weights, read already."""

    @property
    def pass_costs(self) -> PassCosts:
        """What passes cost here."""

    def reload(self) -> None:
        """Read the weights again if they were given back."""


class ReplyStream:
    """One reply on its way: an iterator of events that ends with Finished.

    Any thread may take the next event; replies that several ask for at once wait for each other.
    Weights that were given back are read again.
    """

    def __init__(
        self, loaded: Loaded, progress: ReplyProgress, on_prefill: OnPrefill | None
    ) -> None:
        self.progress = progress
        self._loaded = loaded
        self._on_prefill = on_prefill
        self._is_cancelled = False
        self._is_out_of_memory = False
        self._events: Iterator[Event] | None = None

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        if self._events is None:
            # Not before: a generator of its own method would keep a stream that nobody starts.
            self._events = self._run()
        return in_turn(self._events.__next__)

    @property
    def is_thinking(self) -> bool:
        """Whether the reply is inside a think block right now."""
        return self.progress.steering.place.is_thinking

    def answer_now(self) -> None:
        """Close the thinking within one token and go on to the answer.

        Safe from another thread or a signal handler. Before the thinking begins it takes effect
        when it does; after it nothing happens.
        """
        self.progress.answer_now.request()

    def cancel(self) -> None:
        """End the reply within one token, or one layer of a pass that reads the prompt.

        Safe from another thread or a signal handler. The events still end with Finished, whose
        reason is INTERRUPTED. After it the prompt is written to disk before the iteration ends; a
        cancel then puts that off.
        """
        self._is_cancelled = True

    def _run(self) -> Iterator[Event]:
        loaded, memory, tokens = self._loaded, self._loaded.memory, self.progress.tokens
        loaded.reload()
        mx.reset_peak_memory()
        cache = memory.new_cache(loaded.model)
        try:
            with memory.pressure:
                reason = yield from self._decoded(cache)
            memory.keep(tokens, cache)
            if self.progress.drafts is not None and memory.keeps_replies:
                self.progress.drafts.keep()
            self._is_cancelled = False
            yield from self.progress.finish(reason, is_out_of_memory=self._is_out_of_memory)
            memory.write_prompts(lambda: not self._is_cancelled, tokens, cache)
        finally:
            # Not left to whoever holds this stream, nor to MLX, which would keep it for reuse.
            cache.clear()
            mx.clear_cache()

    def _decoded(self, cache: list[KVCache]) -> Generator[Event, None, FinishReason]:
        """Read the prompt and yield the events of all ids; why it ended, where no rule said so."""
        progress, memory, model = self.progress, self._loaded.memory, self._loaded.model
        plan = progress.plan
        progress.drafts = make_drafts(self._loaded, plan, lambda: cache)
        known = progress.cached_tokens = memory.restore(plan.prompt, cache)
        if progress.drafts is not None:
            progress.drafts.go_on(known)
        logits = prefill(
            model,
            plan.prompt[known:],
            cache,
            ends=[end - known for end in memory.ends(plan.prompt) if end > known],
            on_chunk=self._on_prefill,
            is_cancelled=lambda: self._is_cancelled,
            speculation=progress.drafts,
        )
        if logits is None:
            return FinishReason.INTERRUPTED
        memory.keep_prompt(plan.prompt, cache, known)
        if progress.drafts is not None and memory.prefixes is not None:
            progress.drafts.keep()
        for token in decode(
            model,
            logits,
            cache,
            progress.make_sampler(),
            max_tokens=plan.max_tokens,
            stop_tokens=progress.stop_tokens,
            steering=progress.steering,
            meter=progress.meter,
            speculation=progress.drafts,
        ):
            yield from progress.take(token)
            if progress.reason is not None:
                break
            if self._is_cancelled:
                return FinishReason.INTERRUPTED
            if memory.relieve() and memory.pressure.must_end:
                memory.note_end()
                self._is_out_of_memory = True
                return FinishReason.LENGTH
        return FinishReason.LENGTH
