"""Prefill and decode: prompt ids in, generated ids out, one host sync a step.

Owns no state: the model holds weights, the cache, the sampler and the steering are the caller's.
What ids mean (thinking, answer, tool call) is the parser's business, what may bend them rules/'s.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlx.core as mx

from mlx_magistral.decode.buffers import KeptBuffers
from mlx_magistral.decode.driver import Driver, Speculation
from mlx_magistral.decode.finite import NotFinite, not_finite_error
from mlx_magistral.decode.interruptible import hidden_unless
from mlx_magistral.decode.logprobs import LogprobMeter
from mlx_magistral.decode.rules.steering import Steering
from mlx_magistral.decode.sampling import Sampler
from mlx_magistral.memory.machine import Backend
from mlx_magistral.memory.plan import CHUNKS
from mlx_magistral.memory.prefixes.passes import pass_ends
from mlx_magistral.model.caches import reserve
from mlx_magistral.model.transformer import Transformer

OnPrefill = Callable[[int, int], None]


def prefill(
    model: Transformer,
    tokens: Sequence[int],
    cache: list[Any],
    *,
    chunk_tokens: int | None = None,
    ends: Sequence[int] | None = None,
    on_chunk: OnPrefill | None = None,
    is_cancelled: Callable[[], bool] | None = None,
    speculation: Speculation | None = None,
) -> mx.array | None:
    """Run the prompt through the model in chunks and fill the cache.

    ``chunk_tokens`` defaults to what suits the device; ``ends``, how many ids are done after each
    pass but the last, takes its place. ``on_chunk(done, total)`` is called after each pass. Returns
    the logits of the last position, shape (1, vocab), not yet evaluated; None as soon as
    ``is_cancelled`` says so, which is asked after each layer. ``speculation`` hears of the passes.
    Only the last position goes through the head: at 131,072 entries a chunk of 2,048 positions
    would need 1 GB of logits that nobody reads.
    """
    prompt = mx.array(list(tokens))[None]  # (1, L)
    total = prompt.shape[1]
    if ends is None:
        ends = pass_ends(total, chunk_tokens or CHUNKS[Backend.here()][0])[:-1]
    reserve(cache, total)
    done = 0
    for end in ends:
        if _hidden(model, prompt[:, done:end], cache, speculation, is_cancelled) is None:
            return None
        mx.eval([layer.state for layer in cache])
        done = end
        mx.clear_cache()
        if on_chunk is not None:
            on_chunk(done, total)
    hidden = _hidden(model, prompt[:, done:], cache, speculation, is_cancelled)
    if hidden is None:
        return None
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

    Draws ahead of reading, see Driver. With ``speculation`` ids that text repeats go through the
    model several at a time; the ids that come out are the same. ``meter`` measures logprobs, and
    then nothing is guessed. A caller that closes the iterator early finds no id in the cache that
    it was not given; the latest may be missing there. Raises GenerationError where the model's
    numbers are not finite.
    """
    driver = Driver(
        logits,
        sampler,
        max_tokens=max_tokens,
        stop_tokens=stop_tokens,
        steering=steering,
        meter=meter,
        speculation=speculation,
    )
    kept = KeptBuffers.beside(cache, logits.shape[-1])
    while not driver.is_done:
        inputs = driver.inputs
        if inputs is not None:
            hidden = _hidden(model, inputs[None], cache, speculation)
            assert hidden is not None
            driver.dispatch(model.logits(hidden[:, -driver.wanted_logits :]).squeeze(0))
            kept.after_pass()
        try:
            yield from driver.read(cache)
        except NotFinite as error:
            raise not_finite_error(model, cache) from error


def _hidden(
    model: Transformer,
    tokens: mx.array,
    cache: list[Any],
    speculation: Speculation | None,
    is_cancelled: Callable[[], bool] | None = None,
) -> mx.array | None:
    tap = None if speculation is None else speculation.tap
    taps = () if tap is None else (tap,)
    place = cache[0].offset if taps else 0
    if is_cancelled is None:
        hidden = model.hidden(tokens, cache, *taps)
    else:
        unless = hidden_unless(is_cancelled, model, tokens, cache, tap=tap)
        if unless is None:
            return None
        hidden = unless
    if speculation is not None and tap is not None:
        speculation.saw(tap.take()[0], place)
    return hidden
