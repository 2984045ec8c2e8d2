#!/usr/bin/env python3
"""Per-token work outside the model: ours against mlx-lm's generate_step and detokenizer.

Both drive the same model of no layers: an embedding and a head, of 131,072 entries as Magistral's
and one dimension, so that what is left is drawing an id, reading it, and making text and events of
it. Ours is a whole reply as `Magistral.stream` makes it, loop guard and events included; theirs is
generate_step with the same sampling and their byte-pair detokenizer. Needs the dev extra.

    scripts/bench/overhead.py [--tokens 200] [--runs 5] [--temperature 0.7] [--json]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.generate import generate_step
from mlx_lm.sample_utils import make_sampler
from mlx_lm.tokenizer_utils import BPEStreamingDetokenizer

from full_tekken import CONTROLS, VOCABULARY, write_full_tekken
from mlx_magistral.decode.generate import decode
from mlx_magistral.decode.rules.control import ControlOptions
from mlx_magistral.decode.sampling import SamplingOptions
from mlx_magistral.engine.progress import ReplyPlan, ReplyProgress
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer

PROMPT = [1, 3, 2000, 4]


class NoLayers(nn.Module):
    """Logits of each id from a table of one dimension: as little as a model can do."""

    def __init__(self) -> None:
        super().__init__()
        self.table = mx.random.normal((VOCABULARY, 1), key=mx.random.key(0))
        head = mx.random.normal((1, VOCABULARY), key=mx.random.key(1)) * 3
        # Text alone: a control id would begin a thought or end the reply.
        text = mx.arange(VOCABULARY) >= CONTROLS
        self.head = mx.where(text, head, 0)
        self.bias = mx.where(text, 0.0, -1e4)
        self.layers: list[Any] = []

    def hidden(self, tokens: mx.array, cache: Any) -> mx.array:
        return self.table[tokens]

    def logits(self, hidden: mx.array) -> mx.array:
        return hidden * self.head + self.bias

    def __call__(self, tokens: mx.array, cache: Any = None, **unused: Any) -> mx.array:
        return self.logits(self.hidden(tokens, cache))


class Pieces:
    """As much of a transformers tokenizer as mlx-lm's detokenizer asks for."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        others = (byte for byte in range(256) if byte not in plain)
        self._letters = {byte: chr(byte) for byte in plain}
        self._letters |= {byte: chr(0x100 + place) for place, byte in enumerate(others)}

    def __len__(self) -> int:
        return self._tokenizer.vocab_size

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return ["".join(map(self._letters.__getitem__, self._bytes(id))) for id in ids]

    def _bytes(self, id: int) -> bytes:
        return self._tokenizer.id_to_bytes(id)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=200, help="ids of each reply")
    parser.add_argument("--runs", type=int, default=5, help="counted pairs, after one warm-up")
    parser.add_argument("--temperature", type=float, nargs="+", default=[0.0, 0.7])
    parser.add_argument("--json", action="store_true", help="print one object instead of a table")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer = load_tokenizer(write_full_tekken(Path(scratch)))
    pieces = Pieces(tokenizer)
    model = NoLayers()
    mx.eval(model.parameters())
    cases = []
    for temperature in options.temperature:
        pairs = [
            (
                _ours(model, tokenizer, temperature, options.tokens),
                _theirs(model, pieces, temperature, options.tokens),
            )
            for _ in range(options.runs + 1)
        ][1:]
        cases.append(
            {
                "temperature": temperature,
                "ours_us": statistics.median(mine for mine, _ in pairs) * 1e6,
                "mlx_lm_us": statistics.median(other for _, other in pairs) * 1e6,
                "ratio": statistics.median(mine / other for mine, other in pairs),
            }
        )
    ratio = statistics.median(case["ratio"] for case in cases)
    if options.json:
        print(json.dumps({"ratio": ratio, "cases": cases}))
        return
    print("temperature  ours, us a token  mlx-lm  ours / mlx-lm")
    for case in cases:
        print(
            f"{case['temperature']:11}  {case['ours_us']:16.0f}  {case['mlx_lm_us']:6.0f}"
            f"  {case['ratio']:13.2f}"
        )


def _ours(model: Any, tokenizer: Tokenizer, temperature: float, count: int) -> float:
    """Seconds a token of a reply with its events, as streaming.py makes it."""
    sampling = SamplingOptions(temperature=temperature, seed=1)
    plan = ReplyPlan(PROMPT, sampling, ControlOptions(), count, False, [])
    progress = ReplyProgress(plan, tokenizer, 0.0, 0.0)
    ids = decode(
        model,
        model(mx.array([PROMPT]))[:, -1],
        [],
        progress.make_sampler(),
        max_tokens=count,
        stop_tokens=progress.stop_tokens,
        steering=progress.steering,
    )
    return _seconds(ids, progress.take, count)


def _theirs(model: Any, pieces: Pieces, temperature: float, count: int) -> float:
    """Seconds a token of generate_step and the text that stream_generate makes of it."""
    detokenizer = BPEStreamingDetokenizer(pieces)
    mx.random.seed(1)
    sampler = make_sampler(temp=temperature, top_p=0.95 if temperature else 0.0)
    ids = generate_step(mx.array(PROMPT), model, max_tokens=count, sampler=sampler, prompt_cache=[])

    def take(pair: Any) -> str:
        detokenizer.add_token(pair[0])
        segment: str = detokenizer.last_segment
        return segment

    return _seconds(ids, take, count)


def _seconds(ids: Any, take: Callable[[Any], Any], count: int) -> float:
    """From the first id to the last; each is taken as it comes."""
    iterator = iter(ids)
    take(next(iterator))
    started = time.perf_counter()
    taken = 0
    for each in iterator:
        take(each)
        taken += 1
    assert taken >= count - 2, f"{taken} ids of {count}"
    return (time.perf_counter() - started) / taken


if __name__ == "__main__":
    main()
