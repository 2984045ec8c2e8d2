"""One reply on its way: prefill, decode, and the events that come of the ids.

Everything a reply needs is passed in and everything it changes lives here, so replies of one model
share weights, tokenizer and the memory of earlier prompts, and nothing else.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import mlx.core as mx

from mlx_magistral.decode.generate import OnPrefill, decode, prefill
from mlx_magistral.decode.speculation.draft_model import DraftModel
from mlx_magistral.decode.speculation.drafts import Drafts
from mlx_magistral.decode.speculation.pass_costs import PassCosts
from mlx_magistral.engine.progress import ReplyPlan, ReplyProgress
from mlx_magistral.events import Event, FinishReason
from mlx_magistral.memory.runtime import ModelMemory
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Shared:
    """What all replies of a loaded model have in common."""

    model: Transformer
    tokenizer: Tokenizer
    memory: ModelMemory
    load_s: float
    pass_costs: PassCosts | None = None
    draft_model: DraftModel | None = None


class ReplyStream:
    """One reply on its way: an iterator of events that ends with Finished."""

    def __init__(
        self, shared: Shared, plan: ReplyPlan, on_prefill: OnPrefill | None, started: float
    ) -> None:
        self.progress = ReplyProgress(plan, shared.tokenizer, shared.load_s, started)
        self._shared = shared
        self._on_prefill = on_prefill
        self._is_cancelled = False
        self._events: Iterator[Event] | None = None

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        if self._events is None:
            # Not before: a generator of its own method would keep a stream that nobody starts.
            self._events = self._run()
        return next(self._events)

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

    def _make_drafts(self, cache: list[KVCache]) -> Drafts | None:
        shared, option = self._shared, self.progress.plan.speculate
        costs = shared.pass_costs
        if option.is_off or costs is None:
            return None
        return Drafts(
            self.progress.plan.prompt,
            costs,
            measure=lambda: costs.measure(shared.model, cache),
            length=option.length,
            draft_model=None if shared.draft_model is None else shared.draft_model.for_reply(),
        )

    def _run(self) -> Iterator[Event]:
        memory, tokens = self._shared.memory, self.progress.tokens
        mx.reset_peak_memory()
        cache = memory.new_cache(self._shared.model)
        try:
            reason = yield from self._decoded(cache)
            memory.keep(tokens, cache)
            self._is_cancelled = False
            yield from self.progress.finish(reason)
            memory.write_prompts(lambda: not self._is_cancelled, tokens, cache)
        finally:
            # Not left to whoever holds this stream, nor to MLX, which would keep it for reuse.
            cache.clear()
            mx.clear_cache()

    def _decoded(self, cache: list[KVCache]) -> Generator[Event, None, FinishReason]:
        """Read the prompt and yield the events of all ids; why it ended, where no rule said so."""
        shared, progress, memory = self._shared, self.progress, self._shared.memory
        plan = progress.plan
        progress.drafts = self._make_drafts(cache)
        known = progress.cached_tokens = memory.restore(plan.prompt, cache)
        logits = prefill(
            shared.model,
            plan.prompt[known:],
            cache,
            ends=[end - known for end in memory.ends(plan.prompt) if end > known],
            on_chunk=self._on_prefill,
            is_cancelled=lambda: self._is_cancelled,
        )
        if logits is None:
            return FinishReason.INTERRUPTED
        memory.keep_prompt(plan.prompt, cache, known)
        for token in decode(
            shared.model,
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
        return FinishReason.LENGTH
