#!/usr/bin/env python3
"""Predicted against measured peak memory, and what a quantized KV cache saves.

Random models of several shapes prefill prompts in several chunks with 16-, 8- and 4-bit KV, then
decode one id. ``ratio`` is the median of predicted / measured (mx.get_peak_memory()).

With --context-tokens N: the peak of a prompt of N tokens with 16-bit KV against 8-bit, on a shape
of which the KV cache is nearly all. With --unseen: shapes and lengths that no constant was fitted
to.

    scripts/bench/memory.py [--unseen | --context-tokens 32768] [--json]
"""

import argparse
import json
import statistics
import sys
from dataclasses import asdict, replace

from mlx_magistral.memory.sizes import kv_bytes
from mlx_magistral.selftest.peak import BASE, Case, measure_peak

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
    options = parser.parse_args()
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


if __name__ == "__main__":
    main()
