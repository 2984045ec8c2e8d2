"""One pass of the model over what several replies have to read: ids in, each reply's logits out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import mlx.core as mx

from mlx_magistral.decode.driver import Speculation
from mlx_magistral.decode.interruptible import hidden_unless
from mlx_magistral.model.cache import KVCache
from mlx_magistral.model.ragged import ragged_caches
from mlx_magistral.model.transformer import Transformer


class Segment(NamedTuple):
    """Ids (n,) of one reply that go through the model, and of how many, the last, logits come.

    ``speculation`` is what guesses for the reply, if anything: it hears of the pass.
    """

    tokens: mx.array
    cache: list[KVCache]
    wanted: int
    speculation: Speculation | None = None


def run_pass(
    model: Transformer,
    segments: Sequence[Segment],
    is_cancelled: Callable[[], bool] | None = None,
) -> list[mx.array]:
    """Each segment's logits (wanted, vocab), not yet evaluated; the caches are filled.

    With ``is_cancelled`` it waits for each layer, and gives the pass up once that says so: [].
    Only wanted rows go through the last layer's queries and MLP and through the head, whose 131,072
    columns are 5 % of the model's work.
    """
    lengths = [segment.tokens.shape[0] for segment in segments]
    wanted = [segment.wanted for segment in segments]
    caches = ragged_caches([segment.cache for segment in segments], lengths, wanted)
    tokens = mx.concatenate([segment.tokens.astype(mx.uint32) for segment in segments])
    places = [segment.cache[0].offset for segment in segments]
    taps = [each.speculation.tap for each in segments if each.speculation is not None]
    # All replies of a model draft with the same head, if with one.
    tap = next((each for each in taps if each is not None), None)
    if is_cancelled is None:
        hidden = model.hidden(tokens[:, None], caches, tap)
    else:
        kept = [segment.cache for segment in segments]
        unless = hidden_unless(is_cancelled, model, tokens[:, None], caches, kept, tap)
        if unless is None:
            return []
        hidden = unless
    if tap is not None:
        _tell(segments, places, tap.take()[:, 0])
    hidden = hidden[:, 0]  # (wanted rows, or all where none is, dim)
    if not any(wanted):
        return [mx.zeros((0, 0)) for _ in segments]
    logits, parts, start = model.logits(hidden), [], 0
    for count in wanted:
        parts.append(logits[start : start + count])
        start += count
    return parts


def _tell(segments: Sequence[Segment], places: Sequence[int], states: mx.array) -> None:
    """Give each reply's own states (rows, features * dim) to what guesses for it."""
    start = 0
    for segment, place in zip(segments, places, strict=True):
        end = start + segment.tokens.shape[0]
        if segment.speculation is not None:
            segment.speculation.saw(states[start:end], place)
        start = end
