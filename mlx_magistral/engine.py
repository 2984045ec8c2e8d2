"""Magistral: load a model once, then stream or generate replies.

Joins the parts and holds no algorithm: messages -> ids (text), ids -> ids (decode), ids -> events
(text). The wrapper owns weights and tokenizer; everything else lives in one ReplyStream.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx

from mlx_magistral.decode.generate import OnPrefill, decode, prefill
from mlx_magistral.decode.rules.answer_now import AnswerNow
from mlx_magistral.decode.rules.control import ControlOptions, make_rules, think_tokens
from mlx_magistral.decode.rules.grammar import make_guidance_tokenizer
from mlx_magistral.decode.rules.steering import Rule, Steering
from mlx_magistral.decode.rules.structure import structure_rules
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.errors import CheckpointError, ContextLengthError, UsageError
from mlx_magistral.events import (
    Event,
    Finished,
    FinishReason,
    Limit,
    Reply,
    Timings,
    ToolCallDelta,
    Usage,
)
from mlx_magistral.hub import default_model, resolve_model
from mlx_magistral.memory.runtime import MemoryOptions, ModelMemory, plan_memory
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import load_model, read_weights
from mlx_magistral.text.functions import openai_tools
from mlx_magistral.text.reasoning import ReasoningParser
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer
from mlx_magistral.tool_rounds import answer_with_tools

Messages = str | Sequence[Any]


class Magistral:
    """A loaded model: weights, tokenizer and name. Make one with ``Magistral.load``."""

    def __init__(
        self,
        name: str,
        model: Transformer,
        config: ModelConfig,
        tokenizer: Tokenizer,
        memory: ModelMemory,
    ) -> None:
        if tokenizer.vocab_size != config.vocab_size:
            raise CheckpointError(
                f"{name}: tekken.json has {tokenizer.vocab_size:,} tokens and the weights "
                f"{config.vocab_size:,}. Take both from the same repository."
            )
        self.name = name
        self.model = model
        self.config = config
        self.tokenizer = tokenizer
        self.memory = memory
        self.load_s = 0.0
        self._guidance_tokenizer: Any = None

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        kv_bits: int | None = None,
        context_tokens: int | None = None,
        reuse_prefixes: bool = False,
    ) -> "Magistral":
        """Load a folder, a hub id or ``"nano"``; None is MLX_MAGISTRAL_MODEL, else ``nano``.

        Memory is planned before weights are read; ``memory.note`` says what the plan lowered. The
        keywords are those of MemoryOptions. Raises ModelNotFoundError, HubError, CheckpointError,
        TokenizerError, UsageError, or MemoryPlanError where the context does not fit.
        """
        started = time.perf_counter()
        name = default_model() if model is None else str(model)
        folder = resolve_model(name)
        memory = plan_memory(folder, MemoryOptions(kv_bits, context_tokens, reuse_prefixes))
        # Reading the vocabulary is Python work and mapping the weights is not: do both at once.
        with ThreadPoolExecutor(max_workers=1) as pool:
            pending_tokenizer = pool.submit(load_tokenizer, folder)
            weights, config = load_model(folder)
            read_weights(weights)
            tokenizer = pending_tokenizer.result()
        loaded = cls(name, weights, config, tokenizer, memory)
        loaded.load_s = time.perf_counter() - started
        return loaded

    @property
    def context_tokens(self) -> int:
        """Prompt and reply together: what was asked for, else 40,960 or the model's ceiling."""
        return self.memory.plan.context_tokens

    def stream(
        self,
        messages: Messages,
        *,
        tools: Sequence[Any] | None = None,
        raw_system: bool = False,
        thinking: Literal["auto", "force", "skip"] = "auto",
        max_tokens: int | None = None,
        on_prefill: OnPrefill | None = None,
        **options: Any,
    ) -> "ReplyStream":
        """Start a reply; iterate over the result for its events.

        ``messages`` is a text (one user message) or a list of OpenAI dicts or mistral-common
        messages. ``raw_system=True`` sends exactly the system messages given, without the official
        prompt. ``max_tokens`` bounds thinking and answer together (default: the rest of the
        context). The other keywords are those of SamplingOptions and ControlOptions. Raises
        PromptError, ContextLengthError or UsageError before anything is computed.
        """
        started = time.perf_counter()
        sampling, control = _split(options)
        if control.think_budget == 0:
            if thinking == "force":
                raise UsageError("think_budget=0 skips the thinking, so it cannot be forced.")
            thinking = "skip"
        tool_schemas = openai_tools(tools)
        tokens = self.tokenizer.encode_chat(
            messages, tools=tool_schemas, raw_system=raw_system, thinking=thinking
        )
        room = self.context_tokens - len(tokens)
        if room < 1:
            raise ContextLengthError(len(tokens), self.context_tokens)
        if max_tokens is not None and max_tokens < 1:
            raise UsageError(f"max_tokens must be 1 or more, not {max_tokens}.")
        limit = room if max_tokens is None else min(max_tokens, room)
        rules = structure_rules(control, self.tokenizer, tool_schemas, thinking, self._guidance)
        plan = _Plan(tokens, sampling, control, limit, thinking == "force", rules)
        return ReplyStream(self, plan, on_prefill, started)

    def generate(
        self,
        messages: Messages,
        *,
        tools: Sequence[Any] | None = None,
        max_tool_rounds: int = 8,
        **options: Any,
    ) -> Reply:
        """The whole reply; the other keywords are those of ``stream``.

        ``tools`` that are Python functions are called and their results given to the model, which
        goes on until it answers, ``max_tool_rounds`` times at most. Tools given as dicts are the
        caller's to run: the reply ends with TOOL_CALLS.
        """
        return answer_with_tools(
            self.stream, messages, tools, max_rounds=max_tool_rounds, name=self.name, **options
        )

    def _guidance(self) -> Any:
        """The vocabulary for grammars, made once: it takes a second for the full one."""
        if self._guidance_tokenizer is None:
            self._guidance_tokenizer = make_guidance_tokenizer(self.tokenizer)
        return self._guidance_tokenizer


@dataclass(frozen=True)
class _Plan:
    """What one reply is made from, checked."""

    prompt: list[int]
    sampling: SamplingOptions
    control: ControlOptions
    max_tokens: int
    starts_in_reasoning: bool
    structure: list[Rule]


class ReplyStream:
    """One reply on its way: an iterator of events that ends with Finished."""

    def __init__(
        self, magistral: Magistral, plan: _Plan, on_prefill: OnPrefill | None, started: float
    ) -> None:
        self._magistral = magistral
        self._plan = plan
        self._on_prefill = on_prefill
        self._is_cancelled = False
        self._cached_tokens = 0
        self._answer_now = AnswerNow()
        self._clock = _Clock(started)
        self._parser = ReasoningParser(magistral.tokenizer, in_reasoning=plan.starts_in_reasoning)
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
        plan, tokenizer = self._plan, self._magistral.tokenizer
        rules = make_rules(
            plan.control,
            tokenizer,
            prompt=plan.prompt,
            max_tokens=plan.max_tokens,
            answer_now=self._answer_now,
        )
        think = think_tokens(plan.control, tokenizer)
        return Steering(self._parser, think, [*rules, *plan.structure])

    def _run(self) -> Iterator[Event]:
        magistral, plan, memory = self._magistral, self._plan, self._magistral.memory
        mx.reset_peak_memory()
        cache = memory.new_cache(magistral.model)
        self._cached_tokens = memory.restore(plan.prompt, cache)
        logits = prefill(
            magistral.model,
            plan.prompt[self._cached_tokens :],
            cache,
            chunk_tokens=memory.plan.chunk_tokens,
            on_chunk=self._on_prefill,
            is_cancelled=lambda: self._is_cancelled,
        )
        reason = FinishReason.INTERRUPTED if logits is None else FinishReason.LENGTH
        stop_tokens = frozenset({magistral.tokenizer.eos_id})
        has_tool_calls = False
        tokens = list(plan.prompt)
        if logits is not None:
            memory.keep_prompt(tokens, cache, self._cached_tokens)
            sampler = Sampler(plan.sampling, plan.prompt, magistral.config.vocab_size)
            for token in decode(
                magistral.model,
                logits,
                cache,
                sampler,
                max_tokens=plan.max_tokens,
                stop_tokens=stop_tokens,
                steering=self._steering,
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
        timings = self._clock.timings(self._magistral.load_s, usage)
        return Finished(reason, usage, timings, limit)


class _Clock:
    """When the reply was asked for, and when its first and latest ids came."""

    def __init__(self, started: float) -> None:
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
        return Timings(
            load_s=load_s,
            ttft_s=ttft_s,
            prefill_tps=(usage.prompt_tokens - usage.cached_tokens) / ttft_s if ttft_s else 0.0,
            decode_tps=(self.tokens - 1) / decode_s if decode_s else 0.0,
            peak_memory_bytes=mx.get_peak_memory(),
        )


def _split(options: dict[str, Any]) -> tuple[SamplingOptions, ControlOptions]:
    """The keywords by the class that has them as a field."""
    sampling = SamplingOptions.__dataclass_fields__.keys()
    control = ControlOptions.__dataclass_fields__.keys()
    for name in sorted(options.keys() - sampling - control):
        known = ", ".join([*sampling, *control])
        raise UsageError(f"Unknown option {name}. Known are {known}.")
    return (
        SamplingOptions(**{name: options[name] for name in options.keys() & sampling}),
        ControlOptions(**{name: options[name] for name in options.keys() & control}),
    )
