"""One reply on its way: prefill, decode, and the events that come of the ids.

Everything a reply needs is passed in and everything it changes lives here, so replies of one model
share weights, tokenizer and the memory of earlier prompts, and nothing else.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import mlx.core as mx

from mlx_magistral.decode.draft_model import DraftModel
from mlx_magistral.decode.drafts import Drafts, SpeculateOption
from mlx_magistral.decode.generate import OnPrefill, decode, prefill
from mlx_magistral.decode.pass_costs import PassCosts
from mlx_magistral.decode.rules.answer_now import AnswerNow
from mlx_magistral.decode.rules.control import ControlOptions, make_rules, think_tokens
from mlx_magistral.decode.rules.steering import Rule, Steering
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.events import Event, Finished, FinishReason, Limit, Timings, ToolCallDelta, Usage
from mlx_magistral.memory.runtime import ModelMemory
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.text.reasoning import ReasoningParser
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


@dataclass(frozen=True)
class ReplyPlan:
    """What one reply is made from, checked."""

    prompt: list[int]
    sampling: SamplingOptions
    control: ControlOptions
    max_tokens: int
    starts_in_reasoning: bool
    structure: list[Rule]
    speculate: SpeculateOption = SpeculateOption(is_off=True)


class ReplyStream:
    """One reply on its way: an iterator of events that ends with Finished."""

    def __init__(
        self, shared: Shared, plan: ReplyPlan, on_prefill: OnPrefill | None, started: float
    ) -> None:
        self._shared = shared
        self._plan = plan
        self._on_prefill = on_prefill
        self._is_cancelled = False
        self._cached_tokens = 0
        self._answer_now = AnswerNow()
        self._drafts = self._make_drafts()
        self._clock = _Clock(started, self._drafts)
        self._parser = ReasoningParser(shared.tokenizer, in_reasoning=plan.starts_in_reasoning)
        self._steering = self._make_steering()
        self._events = self._run()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    @property
    def is_thinking(self) -> bool:
        """Whether the reply is inside a think block right now."""
        return self._steering.place.is_thinking

    def answer_now(self) -> None:
        """Close the thinking within one token and go on to the answer.

        Safe from another thread or a signal handler. Before the thinking begins it takes effect
        when it does; after it nothing happens.
        """
        self._answer_now.request()

    def cancel(self) -> None:
        """End the reply within one token; safe from another thread or a signal handler.

        The events still end with Finished, whose reason is INTERRUPTED.
        """
        self._is_cancelled = True

    def _make_steering(self) -> Steering:
        plan, tokenizer = self._plan, self._shared.tokenizer
        rules = make_rules(
            plan.control,
            tokenizer,
            prompt=plan.prompt,
            max_tokens=plan.max_tokens,
            answer_now=self._answer_now,
        )
        think = think_tokens(plan.control, tokenizer)
        return Steering(self._parser, think, [*rules, *plan.structure])

    def _make_drafts(self) -> Drafts | None:
        shared, option = self._shared, self._plan.speculate
        if option.is_off or shared.pass_costs is None:
            return None
        return Drafts(
            self._plan.prompt,
            shared.pass_costs,
            length=option.length,
            draft_model=None if shared.draft_model is None else shared.draft_model.for_reply(),
        )

    def _run(self) -> Iterator[Event]:
        shared, plan, memory = self._shared, self._plan, self._shared.memory
        mx.reset_peak_memory()
        cache = memory.new_cache(shared.model)
        self._cached_tokens = memory.restore(plan.prompt, cache)
        logits = prefill(
            shared.model,
            plan.prompt[self._cached_tokens :],
            cache,
            chunk_tokens=memory.plan.chunk_tokens,
            on_chunk=self._on_prefill,
            is_cancelled=lambda: self._is_cancelled,
        )
        reason = FinishReason.INTERRUPTED if logits is None else FinishReason.LENGTH
        stop_tokens = frozenset({shared.tokenizer.eos_id})
        has_tool_calls = False
        tokens = list(plan.prompt)
        if logits is not None:
            memory.keep_prompt(tokens, cache, self._cached_tokens)
            sampler = Sampler(plan.sampling, plan.prompt, shared.tokenizer.vocab_size)
            for token in decode(
                shared.model,
                logits,
                cache,
                sampler,
                max_tokens=plan.max_tokens,
                stop_tokens=stop_tokens,
                steering=self._steering,
                speculation=self._drafts,
            ):
                self._clock.tick()
                tokens.append(token)
                for event in self._steering.take_events():
                    has_tool_calls |= isinstance(event, ToolCallDelta)
                    yield event
                if token in stop_tokens:
                    reason = FinishReason.STOP
                elif self._steering.ended is not None:
                    reason = self._steering.ended
                elif self._is_cancelled:
                    reason = FinishReason.INTERRUPTED
                    break
        memory.keep(tokens, cache)
        for event in self._steering.flush():
            has_tool_calls |= isinstance(event, ToolCallDelta)
            yield event
        if reason is FinishReason.STOP and has_tool_calls:
            reason = FinishReason.TOOL_CALLS
        yield self._finished(reason)

    def _finished(self, reason: FinishReason) -> Finished:
        usage = Usage(
            prompt_tokens=len(self._plan.prompt),
            completion_tokens=self._clock.tokens,
            reasoning_tokens=self._parser.reasoning_tokens,
            cached_tokens=self._cached_tokens,
        )
        limit = Limit.MAX_TOKENS if reason is FinishReason.LENGTH else self._steering.limit
        timings = self._clock.timings(self._shared.load_s, usage)
        return Finished(reason, usage, timings, limit)


class _Clock:
    """When the reply was asked for, and when its first and latest ids came."""

    def __init__(self, started: float, drafts: Drafts | None) -> None:
        self._drafts = drafts
        self._started = started
        self._first = started
        self._last = started
        self.tokens = 0

    def tick(self) -> None:
        self._last = time.perf_counter()
        if self.tokens == 0:
            self._first = self._last
        self.tokens += 1

    def timings(self, load_s: float, usage: Usage) -> Timings:
        ttft_s = self._first - self._started
        decode_s = self._last - self._first
        drafts = self._drafts
        return Timings(
            load_s=load_s,
            ttft_s=ttft_s,
            prefill_tps=(usage.prompt_tokens - usage.cached_tokens) / ttft_s if ttft_s else 0.0,
            decode_tps=(self.tokens - 1) / decode_s if decode_s else 0.0,
            peak_memory_bytes=mx.get_peak_memory(),
            tokens_per_pass=self.tokens / drafts.passes if drafts and drafts.passes else 1.0,
            acceptance=drafts.kept / drafts.drafted if drafts and drafts.drafted else None,
        )
