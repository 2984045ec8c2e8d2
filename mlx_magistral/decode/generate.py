"""Prefill and decode: prompt ids in, generated ids out, one host sync a step.

Owns no state: the model holds weights, the cache, the sampler and the steering are the caller's.
What ids mean (thinking, answer, tool call) is the parser's business, what may bend them rules/'s.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlx.core as mx

from mlx_magistral.decode.rules.steering import Steering
from mlx_magistral.decode.sampling import Sampler
from mlx_magistral.model.transformer import Transformer

# A GPU is kept busy by 2048 positions, mlx-lm's figure too. On the CPU scores and activations of
# 256 stay in its caches: nano prefills 2,200 ids in 6.3 s against 15.4 s with 2048.
GPU_CHUNK_TOKENS = 2048
CPU_CHUNK_TOKENS = 256

OnPrefill = Callable[[int, int], None]


def prefill(
    model: Transformer,
    tokens: Sequence[int],
    cache: list[Any],
    *,
    chunk_tokens: int | None = None,
    on_chunk: OnPrefill | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> mx.array | None:
    """Run the prompt through the model in chunks and fill the cache.

    ``chunk_tokens`` defaults to what suits the device; ``on_chunk(done, total)`` is called after
    each chunk. Returns the logits of the last position, shape (1, vocab), not yet evaluated; None
    when ``is_cancelled`` said so between two chunks.
    Only the last position goes through the head: at 131,072 entries a chunk of 2,048 positions
    would need 1 GB of logits that nobody reads.
    """
    prompt = mx.array(list(tokens))[None]  # (1, L)
    total = prompt.shape[1]
    if chunk_tokens is None:
        is_cpu = mx.default_device() == mx.cpu
        chunk_tokens = CPU_CHUNK_TOKENS if is_cpu else GPU_CHUNK_TOKENS
    done = 0
    while total - done > chunk_tokens:
        model.hidden(prompt[:, done : done + chunk_tokens], cache)
        mx.eval([layer.state for layer in cache])
        done += chunk_tokens
        mx.clear_cache()
        if on_chunk is not None:
            on_chunk(done, total)
        if is_cancelled():
            return None
    hidden = model.hidden(prompt[:, done:], cache)
    logits = model.logits(hidden[:, -1:])[:, 0]  # (1, vocab)
    if on_chunk is not None:
        mx.eval(logits)
        on_chunk(total, total)
    return logits


def decode(
    model: Transformer,
    logits: mx.array,
    cache: list[Any],
    sampler: Sampler,
    *,
    max_tokens: int,
    stop_tokens: frozenset[int],
    steering: Steering | None = None,
) -> Iterator[int]:
    """Yield up to ``max_tokens`` ids, the stop id included, starting from the prompt's logits.

    The next step is dispatched before the current id is read, so the device never waits for
    Python; where a rule must see the id first, the pass is dispatched and only the draw waits.
    A caller that stops early finds one id more in the cache than it was given.
    """
    token = sampler(logits, steering.adjustments if steering else ())  # (1,)
    mx.async_eval(token)  # type: ignore[no-untyped-call]
    left = max_tokens
    while True:
        # 1. The pass of this id and, ahead of knowing it, the draw of the next.
        draw = _Draw(sampler, steering)
        if left > 1:
            draw.dispatch(model(token[:, None], cache)[:, -1])
        value = token.item()
        assert isinstance(value, int)
        if steering is not None:
            steering.feed(value)
        left -= 1
        if left == 0 or value in stop_tokens or (steering and steering.ended):
            yield value
            return
        if not (steering and steering.forced):
            # 2. Whatever the rules have changed by now, the draw takes it in.
            token = draw.settled()
            yield value
            continue
        # 3. Or ids are forced: they take the place of the draw and go through in one pass.
        forced = steering.forced[:left]
        draw.drop()
        sampler.write(forced)
        hidden = model.hidden(mx.array([forced]), cache)
        logits = model.logits(hidden[:, -1:])[:, 0]
        mx.async_eval(logits)  # type: ignore[no-untyped-call]
        yield value
        for value in forced:
            steering.feed(value)
            yield value
        left -= len(forced)
        if left == 0:
            return
        token = sampler(logits, steering.adjustments)
        mx.async_eval(token)  # type: ignore[no-untyped-call]


class _Draw:
    """The draw of the next id: made early where the rules allow it, and redone if they changed.

    A draw that is redone uses its random number again, so one that comes out the same is the same.
    """

    def __init__(self, sampler: Sampler, steering: Steering | None) -> None:
        self._sampler = sampler
        self._steering = steering
        self._adjustments = steering.adjustments if steering else ()
        self._logits: mx.array | None = None
        self._token: mx.array | None = None

    def dispatch(self, logits: mx.array) -> None:
        """Start computing the logits, and the draw unless it has to wait."""
        self._logits = logits
        if not (self._steering and self._steering.must_see_id):
            self._token = self._sampler(logits, self._adjustments)
        mx.async_eval(logits if self._token is None else self._token)  # type: ignore[no-untyped-call]

    def settled(self) -> mx.array:
        """The draw under the adjustments that hold now."""
        assert self._logits is not None
        adjustments = self._steering.adjustments if self._steering else ()
        if self._token is None or adjustments != self._adjustments:
            self.drop()
            self._token = self._sampler(self._logits, adjustments)
            mx.async_eval(self._token)  # type: ignore[no-untyped-call]
        return self._token

    def drop(self) -> None:
        """Take back a draw that was made."""
        if self._token is not None:
            self._sampler.undo()
