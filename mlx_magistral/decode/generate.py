"""Prefill and decode: prompt ids in, generated ids out, one host sync a step.

Owns no state: the model holds weights, the cache, the sampler and the steering are the caller's.
What ids mean (thinking, answer, tool call) is the parser's business, what may bend them rules/'s.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlx.core as mx

from mlx_magistral.decode.logprobs import LogprobMeter
from mlx_magistral.decode.rules.steering import Steering
from mlx_magistral.decode.sampling import Sampler
from mlx_magistral.decode.speculation.speculate import Speculation, speculate
from mlx_magistral.decode.stepper import Stepper
from mlx_magistral.decode.steps import Loop, Parts
from mlx_magistral.memory.prefixes.passes import pass_ends
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
    ends: Sequence[int] | None = None,
    on_chunk: OnPrefill | None = None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> mx.array | None:
    """Run the prompt through the model in chunks and fill the cache.

    ``chunk_tokens`` defaults to what suits the device; ``ends``, how many ids are done after each
    pass but the last, takes its place. ``on_chunk(done, total)`` is called after each pass. Returns
    the logits of the last position, shape (1, vocab), not yet evaluated; None when
    ``is_cancelled`` said so between two passes.
    Only the last position goes through the head: at 131,072 entries a chunk of 2,048 positions
    would need 1 GB of logits that nobody reads.
    """
    prompt = mx.array(list(tokens))[None]  # (1, L)
    total = prompt.shape[1]
    if chunk_tokens is None:
        is_cpu = mx.default_device() == mx.cpu
        chunk_tokens = CPU_CHUNK_TOKENS if is_cpu else GPU_CHUNK_TOKENS
    if ends is None:
        ends = pass_ends(total, chunk_tokens)[:-1]
    done = 0
    for end in ends:
        model.hidden(prompt[:, done:end], cache)
        mx.eval([layer.state for layer in cache])
        done = end
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
    meter: LogprobMeter | None = None,
    speculation: Speculation | None = None,
) -> Iterator[int]:
    """Yield up to ``max_tokens`` ids, the stop id included, starting from the prompt's logits.

    Draws ahead of reading, see Stepper. With ``speculation`` ids that text repeats go through the
    model several at a time; the ids that come out are the same (speculate.py). ``meter`` measures
    logprobs, and then nothing is guessed. A caller that stops early finds some ids more in the
    cache than it was given: one, or a draft.
    """
    if speculation is not None and meter is None:
        parts = Parts(model, cache, sampler, steering, stop_tokens)
        yield from _speculating(Loop(parts, max_tokens, speculation), speculation, logits)
        return
    stepper = Stepper(
        logits,
        sampler,
        max_tokens=max_tokens,
        stop_tokens=stop_tokens,
        steering=steering,
        meter=meter,
    )
    while not stepper.is_done:
        inputs = stepper.inputs
        if inputs is not None:
            hidden = model.hidden(inputs[None], cache)
            wanted = model.logits(hidden[:, -stepper.wanted_logits :]).squeeze(0)
            mx.async_eval(stepper.dispatch(wanted))  # type: ignore[no-untyped-call]
        yield from stepper.read()


def _speculating(loop: Loop, speculation: Speculation, logits: mx.array) -> Iterator[int]:
    """Plain passes, and drafted ones while the speculation is armed."""
    token: mx.array | None = loop.draw(logits)
    while token is not None:
        token = yield from loop.plain(token)
        if token is not None and speculation.is_armed(loop):
            token = yield from speculate(loop, speculation, token)
