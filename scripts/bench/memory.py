#!/usr/bin/env python3
"""Predicted against measured peak memory, and what a quantized KV cache saves.

Random models of several shapes prefill prompts in several chunks with 16-, 8- and 4-bit KV, then
decode one id. ``ratio`` is the median of predicted / measured (mx.get_peak_memory()).

With --context-tokens N: the peak of a prompt of N tokens with 16-bit KV against 8-bit, on a shape
of which the KV cache is nearly all. With --unseen: shapes and lengths that no constant was fitted
to. With --decode N: what MLX keeps of freed buffers while N ids are decoded, its limit lifted as a
Mac's is far away: the most of it, of a step of the KV cache and of what the plan counts.

    scripts/bench/memory.py [--unseen | --context-tokens 32768 | --decode 8192] [--json]
"""

import argparse
import json
import statistics
import sys
from dataclasses import asdict, dataclass, replace

import mlx.core as mx

from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.memory.sizes import kept_bytes, kv_bytes
from mlx_magistral.model.cache import STEP_TOKENS
from mlx_magistral.model.caches import make_cache
from mlx_magistral.selftest.peak import BASE, Case, measure_peak, random_model

# Many layers and few numbers each: most of the memory is KV cache, as in a long real context.
LONG = replace(BASE, dim=64, hidden_dim=64, n_layers=24, head_dim=32, n_kv_heads=4, vocab_size=512)
LONG_TOKENS, LONG_CHUNK = 1536, 64
SHAPES = {
    "base": BASE,
    "wide": replace(BASE, dim=384, hidden_dim=2048, n_layers=2),
    "deep": replace(BASE, dim=128, hidden_dim=512, n_layers=8),
    "magistral's ratios": replace(BASE, dim=320, n_heads=8, n_kv_heads=2, hidden_dim=2048),
}
# Nearly all is KV cache: one layer's temporaries are little beside that many layers.
KV_SHAPE = replace(
    BASE, dim=64, hidden_dim=64, n_layers=16, n_heads=1, n_kv_heads=1, head_dim=32, vocab_size=512
)
# Where a buffer that the KV outgrew weighs most: wide keys, and no vocabulary to speak of.
KEPT_SHAPE = replace(
    BASE, dim=64, hidden_dim=64, n_layers=2, n_heads=4, n_kv_heads=4, head_dim=128, vocab_size=512
)
UNSEEN_SHAPES = {
    "narrow heads": replace(BASE, dim=224, head_dim=32, n_heads=10, n_kv_heads=5, hidden_dim=640),
    "wide heads": replace(BASE, dim=384, head_dim=128, n_heads=6, n_kv_heads=2, hidden_dim=1280),
    "one KV head each": replace(BASE, dim=192, n_heads=6, n_kv_heads=6, n_layers=5, hidden_dim=448),
}
UNSEEN_LENGTHS = ((1100, 160), (576, 96))
LENGTHS = ((1000, 128), (640, 192))
LENGTHS = ((384, 64), (768, 256), (400, 256))
KV_BITS = (16, 8, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    parser.add_argument("--unseen", action="store_true", help="shapes no constant was fitted to")
    parser.add_argument("--context-tokens", type=int, help="16-bit against 8-bit KV at this length")
    parser.add_argument("--decode", type=int, metavar="N", help="buffers kept over so many ids")
    options = parser.parse_args()
    if options.decode is not None:
        _show_kept([measure_kept(options.decode, bits) for bits in (16, 8)], options.json)
        return
    if options.context_tokens is not None:
        _compare_kv(options.context_tokens, as_json=options.json)
        return
    shapes = UNSEEN_SHAPES if options.unseen else SHAPES
    cases = [
        _shown(measure_peak(shape, config, tokens, chunk, bits))
        for shape, config in shapes.items()
        for tokens, chunk in (UNSEEN_LENGTHS if options.unseen else LENGTHS)
        for bits in KV_BITS
    ]
    long = (
        []
        if options.unseen
        else [_shown(measure_peak("long", LONG, LONG_TOKENS, LONG_CHUNK, bits)) for bits in KV_BITS]
    )
    every = [*cases, *long]
    ratio = statistics.median(case.ratio for case in every)
    worst = max(abs(case.ratio - 1) for case in every)
    if options.json:
        rows = [{**asdict(case), "ratio": case.ratio} for case in every]
        print(json.dumps({"ratio": ratio, "worst_error": worst, "cases": rows}))
        return
    for case in long[1:]:
        saved = long[0].measured - case.measured
        arithmetic = kv_bytes(LONG, LONG_TOKENS + 1, 16) - kv_bytes(
            LONG, LONG_TOKENS + 1, case.kv_bits
        )
        print(
            f"long, {case.kv_bits}-bit KV: peak {saved / 1e6:.2f} MB under 16-bit; the cache alone "
            f"is {arithmetic / 1e6:.2f} MB smaller"
        )
    print(f"predicted / measured: median {ratio:.3f}, worst error {worst:.1%}")


def _compare_kv(tokens: int, *, as_json: bool) -> None:
    cases = [_shown(measure_peak("KV", KV_SHAPE, tokens, LONG_CHUNK, bits)) for bits in (16, 8)]
    rows = []
    for case in cases[1:]:
        measured = cases[0].measured - case.measured
        predicted = cases[0].predicted - case.predicted
        cache = kv_bytes(KV_SHAPE, tokens + 1, 16) - kv_bytes(KV_SHAPE, tokens + 1, case.kv_bits)
        rows.append(
            {
                "kv_bits": case.kv_bits,
                "saved": measured,
                "predicted": predicted,
                "cache": cache,
                "ratio": predicted / measured,
            }
        )
    if as_json:
        print(json.dumps({"tokens": tokens, "cases": rows}))
        return
    for row in rows:
        print(
            f"{tokens:,} tokens, {row['kv_bits']}-bit KV: peak {row['saved'] / 1e6:.1f} MB under "
            f"16-bit, by arithmetic {row['predicted'] / 1e6:.1f} (ratio {row['ratio']:.3f}), of "
            f"the {row['cache'] / 1e6:.1f} MB that the cache is smaller"
        )


def _shown(case: Case) -> Case:
    """Print a case on stderr as soon as it is measured: all of them take minutes on a CPU."""
    predicted, measured = case.predicted / 1e6, case.measured / 1e6
    print(
        f"{case.shape:18} {case.tokens:5} tokens, chunks of {case.chunk_tokens:3}, "
        f"{case.kv_bits:2}-bit KV: predicted {predicted:6.2f} MB, measured {measured:6.2f}, "
        f"ratio {case.ratio:.3f}",
        file=sys.stderr,
        flush=True,
    )
    return case


@dataclass(frozen=True)
class Kept:
    """Bytes at the end of a decode, and the most that MLX kept at any id of it."""

    tokens: int
    kv_bits: int
    kv_bytes: int
    step_bytes: int
    planned: int
    most_kept: int


def measure_kept(tokens: int, bits: int) -> Kept:
    """Decode so many ids with nothing limiting what MLX keeps."""
    model, config = random_model(KEPT_SHAPE), KEPT_SHAPE
    before = mx.set_cache_limit(1 << 40)
    mx.clear_cache()
    try:
        cache = make_cache(model, bits)
        logits = prefill(model, [1, 2, 3], cache)
        assert logits is not None
        sampler = Sampler(SamplingOptions(temperature=0), [], config.vocab_size)
        ids = decode(model, logits, cache, sampler, max_tokens=tokens, stop_tokens=frozenset())
        most = max(mx.get_cache_memory() for _ in ids)
    finally:
        mx.set_cache_limit(before)
    step = kv_bytes(config, STEP_TOKENS, bits)
    return Kept(
        tokens,
        bits,
        sum(layer.nbytes for layer in cache),
        step,
        kept_bytes(step, config.vocab_size),
        most,
    )


def _show_kept(cases: list[Kept], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"cases": [asdict(case) for case in cases]}))
        return
    for case in cases:
        print(
            f"{case.tokens:,} ids, {case.kv_bits}-bit KV of {case.kv_bytes / 1e6:.1f} MB: at most "
            f"{case.most_kept / 1e6:.2f} MB kept, a step is {case.step_bytes / 1e6:.2f}, planned "
            f"{case.planned / 1e6:.2f}"
        )


if __name__ == "__main__":
    main()
