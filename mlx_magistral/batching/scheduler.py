"""Scheduler: which replies take part in the next pass, and that pass.

Replies that decode each put in the one id they drew; what is left of the pass reads prompts, oldest
reply first, in pieces small enough that nobody who decodes waits long. A reply takes its place
between any two passes and gives it up as soon as it ends. Belongs to one thread, MLX's rule: its
streams are per thread.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import mlx.core as mx

from mlx_magistral.batching.forward import Segment, run_pass
from mlx_magistral.batching.member import Member
from mlx_magistral.batching.prompt_rows import PromptRows
from mlx_magistral.batching.room import KVRoom
from mlx_magistral.decode.sampling import PendingDraw, draw_together
from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.events import FinishReason
from mlx_magistral.model.cache import STEP_TOKENS


class Scheduler:
    """Runs up to ``max_batch`` replies; ``waiting`` is the callers' queue, first come first."""

    def __init__(self, model: Magistral, max_batch: int) -> None:
        # Which rows a prompt shares its passes with is chance, and so are its KV's last bits.
        model.memory.allow_rounding()
        self.room = KVRoom(model.config, model.memory)
        self.running: list[Member] = []
        self._model = model
        self._max_batch = max_batch
        self._prompt_rows = PromptRows(model.memory.plan)

    def has_place_for(self, member: Member) -> bool:
        """Whether there is a place, and memory for all that was said and asked."""
        if not self.running:
            return True  # Alone it always fits: the plan has room for a whole context.
        is_full = len(self.running) >= self._max_batch
        return not is_full and self.room.holds([*self._lengths(), self.first_length(member)])

    def start(self, member: Member) -> None:
        """Give a reply its place and its cache; weights that were given back are read again."""
        self.running.append(member)
        self._guarded(member, self._start)
        self._drop_finished()

    def step(self) -> list[Member]:
        """One pass and what comes of it; returns replies that lost their place to the memory."""
        for member in self.running:
            if member.is_cancelled:
                self._guarded(member, lambda each: each.finish(FinishReason.INTERRUPTED))
        self._drop_finished()
        paused = self._make_room()
        decoding = [member for member in self.running if member.stepper and not member.unread]
        try:
            self._pass(decoding)
        except Exception as error:  # Whatever it was, none of those that took part can go on.
            for member in self.running:
                member.fail(error)
        for member in decoding:
            if not member.is_over:
                self._guarded(member, Member.read)
        self._drop_finished()
        return paused

    def write_prompts(self, is_idle: Callable[[], bool]) -> None:
        """What is due to the disk, while nothing else is to do."""
        self._model.memory.write_prompts(is_idle)

    @staticmethod
    def first_length(member: Member) -> int:
        """Tokens of cache that make a start worth it: all so far and some room to go on."""
        return len(member.progress.tokens) + STEP_TOKENS

    @property
    def running_bytes(self) -> int:
        """KV bytes of what runs, prompts counted whole."""
        return self.room.bytes_for_all(self._lengths())

    def _start(self, member: Member) -> None:
        if member.is_cancelled:
            member.finish(FinishReason.INTERRUPTED)
            return
        self._model.reload()
        member.start(self._model.model, self._model.memory)

    def _pass(self, decoding: list[Member]) -> None:
        """One id of each reply that decodes, and prompts up to the chunk; then wait for the ids."""
        started_at = time.perf_counter()
        reading = self._prompts(self._prompt_rows.limit(bool(decoding)))
        saying = [
            (member, Segment(inputs, member.cache, member.stepper.wanted_logits))
            for member in decoding
            if member.stepper is not None and (inputs := member.stepper.inputs) is not None
        ]
        if saying or reading:
            segments = [segment for _, segment in saying + reading]
            parts = run_pass(self._model.model, segments)
            started = self._draw([member for member, _ in saying], parts[: len(saying)])
            states = [layer.state for member, _ in reading for layer in member.cache]
            mx.async_eval(started, states)  # type: ignore[no-untyped-call]
            if reading and not decoding:
                # Nothing else waits here, and passes would pile up in the queue.
                mx.eval(states)
                rows = sum(len(segment.tokens) for _, segment in reading)
                self._prompt_rows.measure(rows, time.perf_counter() - started_at)
            for (member, segment), logits in zip(reading, parts[len(saying) :], strict=True):
                if segment.wanted:
                    self._guarded(member, partial(self._begin, logits))
        # One wait for all ids; the pass just dispatched goes on meanwhile.
        steppers = [each.stepper for each in decoding if each.stepper and not each.is_over]
        mx.eval([stepper.drawn for stepper in steppers if stepper.drawn is not None])
        if reading:
            mx.clear_cache()

    def _prompts(self, budget: int) -> list[tuple[Member, Segment]]:
        """The next pieces of prompts, oldest reply first, ``budget`` rows in all."""
        reading = []
        for member in self.running:
            unread = member.unread
            if budget == 0 or not unread:
                continue
            piece = unread[:budget]
            budget -= len(piece)
            is_last = len(piece) == len(unread)
            reading.append((member, Segment(mx.array(piece), member.cache, int(is_last))))
        return reading

    def _draw(self, members: list[Member], parts: list[mx.array]) -> list[mx.array]:
        """The next ids, all in one go, from each one's logits; returns what to start computing."""
        draws: list[tuple[Member, PendingDraw]] = []
        waiting: list[mx.array] = []

        def prepare(logits: mx.array, member: Member) -> None:
            draw = member.prepare(logits)
            if draw is None:
                waiting.append(logits)
            else:
                draws.append((member, draw))

        for member, logits in zip(members, parts, strict=True):
            self._guarded(member, partial(prepare, logits))
        tokens = draw_together([draw for _, draw in draws])
        for (member, _), token in zip(draws, tokens, strict=True):
            member.accept(token)
        return tokens + waiting

    def _begin(self, logits: mx.array, member: Member) -> None:
        progress = member.progress
        if member.stepper is None:
            self._model.memory.keep_prompt(progress.tokens, member.cache, progress.cached_tokens)
        member.begin(logits)

    def _make_room(self) -> list[Member]:
        """Pause the youngest replies until the caches of all others can grow."""
        paused: list[Member] = []
        while len(self.running) > 1 and not self.room.holds(self._lengths()):
            member = self.running.pop()
            member.pause()
            paused.insert(0, member)
        return paused

    def _lengths(self) -> list[int]:
        """Tokens that each reply's cache comes to hold, those of unread prompts included."""
        return [len(member.progress.tokens) + 1 for member in self.running]

    def _drop_finished(self) -> None:
        for member in self.running:
            if member.is_over and member.cache:
                self._guarded(member, self._keep)
                member.cache = []
        self.running = [member for member in self.running if not member.is_over]

    def _keep(self, member: Member) -> None:
        # The disk is for when nobody waits: write_prompts.
        self._model.memory.keep(member.progress.tokens, member.cache, may_write=False)

    def _guarded(self, member: Member, action: Callable[[Member], Any]) -> None:
        """Do something for one reply; if that goes wrong, this reply ends and no other."""
        try:
            action(member)
        except Exception as error:  # A rule, a grammar or the caller's own callback: anything.
            member.fail(error)
