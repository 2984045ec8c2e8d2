"""Scheduler: which replies take part in the next pass, and that pass.

Replies that decode each put in the one id they drew; what is left of the pass reads prompts, oldest
reply first, in pieces small enough that nobody who decodes waits long, and what several begin with
only once. A reply takes its place
between any two passes and gives it up as soon as it ends. Belongs to one thread, MLX's rule: its
streams are per thread.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import mlx.core as mx

from mlx_magistral.batching.beginnings import find_beginning
from mlx_magistral.batching.forward import Segment, run_pass
from mlx_magistral.batching.kv_budget import KVBudget
from mlx_magistral.batching.prefill_chunk import PrefillChunk
from mlx_magistral.batching.sequence import Sequence
from mlx_magistral.decode.buffers import KeptBuffers
from mlx_magistral.decode.sampling import PendingDraw, draw_together
from mlx_magistral.decode.speculation.gate import PassLoad
from mlx_magistral.decode.speculation.shared_pass import SharedPass
from mlx_magistral.engine.resident import ResidentModel
from mlx_magistral.events import FinishReason
from mlx_magistral.memory.pressure import Pressure
from mlx_magistral.memory.runtime import OUT_OF_MEMORY
from mlx_magistral.model.cache import STEP_TOKENS

log = logging.getLogger("mlx_magistral.batching")


class Scheduler:
    """Runs up to ``max_batch`` replies; ``waiting`` is the callers' queue, first come first."""

    def __init__(self, model: ResidentModel, max_batch: int) -> None:
        self._memories = [model.memory, *(each.memory for each in model.variants.values())]
        # Which rows a prompt shares its passes with is chance, and so are its KV's last bits.
        for memory in self._memories:
            memory.allow_rounding()
        self.pressure = model.memory.pressure
        self.kv_budget = KVBudget(model.config, model.memory, self._memories[1:])
        self.running: list[Sequence] = []
        self._max_batch = max_batch
        self._kept = KeptBuffers(self.kv_budget.kept_bytes)
        self._prefill_chunk = PrefillChunk(model.memory.plan)
        self._shared = SharedPass()
        self._rows_under_way = 0  # of prompts, in a pass that others decode in
        self._pass_over_at = time.perf_counter()  # the latest that was waited for

    def has_place_for(self, sequence: Sequence) -> bool:
        """Whether there is a place, and memory for all that was said and asked."""
        if not self.running:
            return True  # Alone it always fits: the plan has room for a whole context.
        if self.is_short_of_memory:
            return False
        is_full = len(self.running) >= self._max_batch
        return not is_full and self.kv_budget.holds([*self._lengths(), self.first_length(sequence)])

    def start(self, sequence: Sequence) -> None:
        """Give a reply its place; weights that were given back are read again."""
        self.running.append(sequence)
        self._guarded(sequence, self._start)
        self._drop_finished()

    def step(self) -> list[Sequence]:
        """One pass and what comes of it; returns replies that lost their place to the memory."""
        for sequence in self.running:
            if sequence.is_cancelled:
                self._guarded(sequence, lambda each: each.finish(FinishReason.INTERRUPTED))
        self._heed_pressure()
        self._drop_finished()
        paused = self._make_room()
        decoding = [
            sequence for sequence in self.running if sequence.driver and not sequence.unread
        ]
        try:
            self._pass(decoding)
        except Exception as error:  # Whatever it was, none of those that took part can go on.
            for sequence in self.running:
                sequence.fail(error)
        for sequence in decoding:
            if not sequence.is_over:
                self._guarded(sequence, Sequence.read)
        self._drop_finished()
        return paused

    def write_prompts(self, is_idle: Callable[[], bool]) -> None:
        """What is due to the disk, while nothing else is to do."""
        for memory in self._memories:
            memory.write_prompts(is_idle)

    @property
    def is_short_of_memory(self) -> bool:
        """Whether the machine is, and nobody should come beside those that run."""
        return self.pressure.level is not Pressure.NORMAL

    @staticmethod
    def first_length(sequence: Sequence) -> int:
        """Tokens of cache that make a start worth it: all so far and some room to go on."""
        return len(sequence.progress.tokens) + STEP_TOKENS

    @property
    def running_bytes(self) -> int:
        """KV bytes of what runs, prompts counted whole."""
        return self.kv_budget.bytes_for_all(self._lengths())

    def _start(self, sequence: Sequence) -> None:
        if sequence.is_cancelled:
            sequence.finish(FinishReason.INTERRUPTED)
            return
        sequence.loaded.reload()

    def _pass(self, decoding: list[Sequence]) -> None:
        """A step of each reply that decodes, and prompts up to the chunk; then wait for the ids."""
        reading = self._prompts(self._prefill_chunk.limit(bool(decoding)))
        rows = sum(len(segment.tokens) for _, segment in reading)
        self._shared.begin({each.progress.drafts or each for each in decoding})
        self._shared.put(self, PassLoad(rows))
        self._read_waited(decoding)
        saying = [
            (sequence, sequence.segment(inputs, sequence.driver.wanted_logits))
            for sequence in decoding
            if sequence.driver is not None
            and not sequence.is_over
            and (inputs := sequence.driver.inputs) is not None
        ]
        if decoding:
            self._dispatch(saying, reading)
            # One wait for all ids; the pass just dispatched goes on meanwhile. So what is over now
            # is the pass before, which began as the one before that was over.
            mx.eval([each.driver.awaited for each in decoding if each.driver and not each.is_over])
            self._take_time(self._rows_under_way)
            self._rows_under_way = rows
        elif reading:
            self._take_time(0)
            # Nobody else waits here, passes would pile up, and nobody may want it any longer.
            if self._dispatch([], reading, lambda: all(each.is_cancelled for each, _ in reading)):
                mx.eval([layer.state for sequence, _ in reading for layer in sequence.cache])
                self._take_time(rows)
        if reading:
            mx.clear_cache()
        self._kept.after_pass()

    def _read_waited(self, decoding: list[Sequence]) -> None:
        """Ids that a guess depends on, so that it comes into this pass and not the next."""
        waited = [each for each in decoding if each.driver and each.driver.inputs is None]
        if waited:
            mx.eval([each.driver.awaited for each in waited if each.driver])
        for sequence in waited:
            self._guarded(sequence, Sequence.read)

    def _dispatch(
        self,
        saying: list[tuple[Sequence, Segment]],
        reading: list[tuple[Sequence, Segment]],
        is_cancelled: Callable[[], bool] | None = None,
    ) -> bool:
        """Start computing a pass and the draws that come of it; False for one that is given up."""
        parts = _logits(saying + reading, is_cancelled)
        if not parts:
            return False
        started = self._draw([sequence for sequence, _ in saying], parts[: len(saying)])
        states = [layer.state for sequence, _ in reading for layer in sequence.cache]
        mx.async_eval(started, states)  # type: ignore[no-untyped-call]
        for (sequence, segment), logits in zip(reading, parts[len(saying) :], strict=True):
            if segment.wanted:
                self._guarded(sequence, partial(self._begin, logits))
        return True

    def _take_time(self, rows: int) -> None:
        """A pass is over that read so many rows of prompts."""
        now = time.perf_counter()
        self._prefill_chunk.measure(rows, now - self._pass_over_at)
        self._pass_over_at = now
        self._rows_under_way = 0

    def _prompts(self, budget: int) -> list[tuple[Sequence, Segment]]:
        """The next pieces of prompts, oldest reply first, ``budget`` rows in all."""
        reading = []
        for sequence in self.running:
            if budget > 0 and not sequence.cache:
                self._guarded(sequence, self._open)
            unread = sequence.unread
            if budget == 0 or not unread or not sequence.cache:
                continue
            piece = unread[:budget]
            budget -= len(piece)
            is_last = len(piece) == len(unread)
            reading.append((sequence, sequence.segment(mx.array(piece), int(is_last))))
        return reading

    def _open(self, sequence: Sequence) -> None:
        """Give a reply its cache, unless somebody else is reading much of its prompt just now."""
        loaded = sequence.loaded
        found = find_beginning(sequence, [each for each in self.running if each.loaded is loaded])
        if not found.is_worth_waiting(loaded.memory.known(sequence.progress.tokens)):
            sequence.start(self._shared, found.source, found.tokens)

    def _draw(self, sequences: list[Sequence], parts: list[mx.array]) -> list[mx.array]:
        """The next ids, all in one go, from each one's logits; returns what to start computing."""
        draws: list[tuple[Sequence, PendingDraw]] = []
        waiting: list[mx.array] = []

        def prepare(logits: mx.array, sequence: Sequence) -> None:
            draw = sequence.prepare(logits)
            if draw is None:
                waiting.append(logits)
            else:
                draws.append((sequence, draw))

        for sequence, logits in zip(sequences, parts, strict=True):
            self._guarded(sequence, partial(prepare, logits))
        tokens = draw_together([draw for _, draw in draws])
        for (sequence, _), token in zip(draws, tokens, strict=True):
            sequence.accept(token)
        return tokens + waiting

    def _begin(self, logits: mx.array, sequence: Sequence) -> None:
        progress = sequence.progress
        if sequence.driver is None:
            memory = sequence.loaded.memory
            memory.keep_prompt(progress.tokens, sequence.cache, progress.cached_tokens)
        sequence.begin(logits)

    def _heed_pressure(self) -> None:
        """Where the machine is short of memory: give back, go on with one reply, end that too."""
        if not any([memory.relieve() for memory in self._memories]):
            return
        spared = 0 if self.pressure.must_end else 1
        if self.pressure.level is Pressure.CRITICAL:
            for sequence in self.running[spared:]:
                log.warning(OUT_OF_MEMORY)
                self._guarded(sequence, _end_for_memory)

    def _make_room(self) -> list[Sequence]:
        """Pause the youngest replies until the caches of all others can grow."""
        paused: list[Sequence] = []
        while len(self.running) > 1 and not self.kv_budget.holds(self._lengths()):
            sequence = self.running.pop()
            sequence.pause()
            paused.insert(0, sequence)
        return paused

    def _lengths(self) -> list[int]:
        """Tokens that each reply's cache comes to hold, those of unread prompts included."""
        return [sequence.coming_tokens for sequence in self.running]

    def _drop_finished(self) -> None:
        for sequence in self.running:
            if sequence.is_over and sequence.cache:
                self._guarded(sequence, self._keep)
                sequence.cache = []
                mx.clear_cache()
        self.running = [sequence for sequence in self.running if not sequence.is_over]

    def _keep(self, sequence: Sequence) -> None:
        # The disk is for when nobody waits: write_prompts.
        memory = sequence.loaded.memory
        memory.keep(sequence.progress.tokens, sequence.cache)
        if sequence.progress.drafts is not None and memory.keeps_replies:
            sequence.progress.drafts.keep()

    def _guarded(self, sequence: Sequence, action: Callable[[Sequence], Any]) -> None:
        """Do something for one reply; if that goes wrong, this reply ends and no other."""
        try:
            action(sequence)
        except Exception as error:  # A rule, a grammar or the caller's own callback: anything.
            sequence.fail(error)


def _end_for_memory(sequence: Sequence) -> None:
    sequence.finish(FinishReason.LENGTH, is_out_of_memory=True)


def _logits(
    taking: list[tuple[Sequence, Segment]], is_cancelled: Callable[[], bool] | None
) -> list[mx.array]:
    """Each segment's logits; [] for nothing, and for a pass that was given up.

    One pass for all replies of a model; those that answer with an adapter take one of their own.
    """
    places: dict[int, list[int]] = {}
    for place, (sequence, _) in enumerate(taking):
        places.setdefault(id(sequence.loaded), []).append(place)
    parts: dict[int, mx.array] = {}
    for own in places.values():
        model = taking[own[0]][0].loaded.model
        found = run_pass(model, [taking[place][1] for place in own], is_cancelled)
        if not found:
            return []
        parts |= zip(own, found, strict=True)
    return [parts[place] for place in range(len(taking))]
