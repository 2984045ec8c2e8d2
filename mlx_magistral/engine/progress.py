"""ReplyProgress: what one reply has become so far, whoever drives its decode.

Events, stop strings, why it ended, usage and timings. Knows no cache and no model: a ReplyStream
drives one reply by itself, a batch several at once, and both keep their account here.
"""

import time
from dataclasses import dataclass, replace

import mlx.core as mx

from mlx_magistral.decode.driver import Driver
from mlx_magistral.decode.logprobs import LogprobMeter
from mlx_magistral.decode.rules.answer_now import AnswerNow
from mlx_magistral.decode.rules.check import AnswerCheck
from mlx_magistral.decode.rules.control import ControlOptions, make_rules, think_tokens
from mlx_magistral.decode.rules.steering import Rule, Steering
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.decode.speculation.drafts import Drafts, SpeculateOption
from mlx_magistral.events import (
    Event,
    Finished,
    FinishReason,
    Limit,
    Progress,
    Timings,
    ToolCallDelta,
    Usage,
)
from mlx_magistral.text.reasoning import ReasoningParser
from mlx_magistral.text.stop_strings import StopStrings
from mlx_magistral.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class ReplyPlan:
    """What one reply is made from, checked."""

    prompt: list[int]
    sampling: SamplingOptions
    control: ControlOptions
    max_tokens: int
    starts_in_reasoning: bool
    structure: list[Rule]
    stop: tuple[str, ...] = ()
    logprobs: int | None = None
    speculate: SpeculateOption = SpeculateOption(is_off=True)
    check: AnswerCheck | None = None


class ReplyProgress:
    """Feed ``take`` the ids as they are decoded, ``finish`` at last; both give events."""

    def __init__(
        self, plan: ReplyPlan, tokenizer: Tokenizer, load_s: float, started: float
    ) -> None:
        self.plan = plan
        self.answer_now = AnswerNow()
        self.tokens = list(plan.prompt)
        self.cached_tokens = 0
        self.reason: FinishReason | None = None  # None while the reply goes on
        self.drafts: Drafts | None = None
        self._tokenizer = tokenizer
        self._load_s = load_s
        self._clock = Clock(started)
        self._parser = ReasoningParser(tokenizer, in_reasoning=plan.starts_in_reasoning)
        self._stops = StopStrings(plan.stop)
        self._has_tool_calls = False
        count, to_bytes = plan.logprobs, tokenizer.id_to_bytes
        self.meter = None if count is None else LogprobMeter(count, to_bytes)
        self.stop_tokens = frozenset({tokenizer.eos_id})
        self.steering = self._make_steering()

    def make_sampler(self) -> Sampler:
        """The reply's own random state, on the thread that decodes."""
        return Sampler(self.plan.sampling, self.plan.prompt, self._tokenizer.vocab_size)

    def make_driver(self, logits: mx.array) -> Driver:
        """The reply's decode from the logits (1, vocab) of its prompt."""
        return Driver(
            logits,
            self.make_sampler(),
            max_tokens=self.plan.max_tokens,
            stop_tokens=self.stop_tokens,
            steering=self.steering,
            meter=self.meter,
            speculation=self.drafts,
        )

    def take(self, token: int) -> list[Event]:
        """The events of an id that the steering has seen; sets ``reason`` where it ends."""
        self._clock.tick()
        self.tokens.append(token)
        events = self._passed(self.steering.take_events())
        if self._stops.found is None and self.steering.ended is not None:
            self.reason = self.steering.ended
        elif self._stops.found is not None or token in self.stop_tokens:
            self.reason = FinishReason.STOP
        return events

    def so_far(self, kept_tokens: int) -> Progress:
        """How far the reply is with so many ids in its cache; safe from any thread."""
        prompt = len(self.plan.prompt)
        prompt_s, decode_s = self._clock.elapsed()
        return Progress(
            prompt_tokens=prompt,
            cached_tokens=self.cached_tokens,
            # The last id's logits make the first id of the reply, which says that all was read.
            read_tokens=prompt if self._clock.tokens else min(kept_tokens, prompt),
            prompt_s=prompt_s,
            completion_tokens=self._clock.tokens,
            decode_s=decode_s,
        )

    def finish(self, reason: FinishReason, *, is_out_of_memory: bool = False) -> list[Event]:
        """The last events; ``reason`` is why it ended unless it said so itself."""
        events = self._passed(self.steering.flush())
        if self._stops.found is None:
            events += self._watched(self._stops.flush())
        reason = self.reason or reason
        if reason is FinishReason.STOP and self._has_tool_calls:
            reason = FinishReason.TOOL_CALLS
        usage = Usage(
            prompt_tokens=len(self.plan.prompt),
            completion_tokens=self._clock.tokens,
            reasoning_tokens=self._parser.reasoning_tokens,
            cached_tokens=self.cached_tokens,
        )
        limit = Limit.MAX_TOKENS if reason is FinishReason.LENGTH else self.steering.limit
        if is_out_of_memory:
            limit = Limit.MEMORY
        end = Finished(reason, usage, self._timings(usage), limit, self._stops.found)
        is_whole = reason in (FinishReason.STOP, FinishReason.TOOL_CALLS)
        if self.plan.check is not None and is_whole and end.stop is None:
            end = replace(end, invalid=self.plan.check.problem())
        return [*events, end]

    def _timings(self, usage: Usage) -> Timings:
        drafts, tokens = self.drafts, self._clock.tokens
        return replace(
            self._clock.timings(self._load_s, usage),
            reasoning_s=self.steering.reasoning_s,
            tokens_per_pass=tokens / drafts.passes if drafts and drafts.passes else 1.0,
            acceptance=drafts.kept / drafts.drafted if drafts and drafts.drafted else None,
            guesses=drafts.drafted if drafts else 0,
        )

    def _passed(self, events: list[Event]) -> list[Event]:
        return self._watched(self._stops.feed(events))

    def _watched(self, events: list[Event]) -> list[Event]:
        """The events, once all that takes note of them has seen them."""
        self._has_tool_calls |= any(isinstance(event, ToolCallDelta) for event in events)
        if self.plan.check is not None:
            for event in events:
                self.plan.check.feed(event)
        return events

    def _make_steering(self) -> Steering:
        plan, tokenizer = self.plan, self._tokenizer
        rules = make_rules(
            plan.control,
            tokenizer,
            prompt=plan.prompt,
            max_tokens=plan.max_tokens,
            answer_now=self.answer_now,
        )
        think = think_tokens(plan.control, tokenizer)
        return Steering(self._parser, think, [*rules, *plan.structure])


class Clock:
    """When the reply was asked for, and when its first and latest ids came."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._first = started
        self._last = started
        self.tokens = 0

    def tick(self) -> None:
        """An id came."""
        self._last = time.perf_counter()
        if self.tokens == 0:
            self._first = self._last
        self.tokens += 1

    def elapsed(self) -> tuple[float, float]:
        """Seconds until the first id, or until now where none came, and from it to the latest."""
        if not self.tokens:
            return time.perf_counter() - self._started, 0.0
        return self._first - self._started, self._last - self._first

    def timings(self, load_s: float, usage: Usage) -> Timings:
        """Of the reply so far; the peak is the whole process's since it was reset."""
        ttft_s = self._first - self._started
        decode_s = self._last - self._first
        return Timings(
            load_s=load_s,
            ttft_s=ttft_s,
            prefill_tps=(usage.prompt_tokens - usage.cached_tokens) / ttft_s if ttft_s else 0.0,
            decode_tps=(self.tokens - 1) / decode_s if decode_s else 0.0,
            peak_memory_bytes=mx.get_peak_memory(),
        )
