"""One driver, however it is driven: alone, guessing, measured, and several in one pass."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import mlx.core as mx
import pytest
from decode.scripted import EOS, VOCAB, FakeTokenizer, Scripted, says, steering
from decode.speculation.test_speculate import Guesses
from model.builders import SMALL, write_hf

from mlx_magistral import load_model
from mlx_magistral.batching.forward import Segment, run_pass
from mlx_magistral.decode.driver import Driver
from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.logprobs import LogprobMeter
from mlx_magistral.decode.rules.logits_processors import LogitsProcessor
from mlx_magistral.decode.rules.steering import Act, Place, Verdict
from mlx_magistral.decode.sampling import Sampler, SamplingOptions, draw_together
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.transformer import Transformer

PROMPT = [5, 9, 11, 5, 9, 11, 5, 9]


class Writes:
    """Forces ids after some ids, whether those were drawn or forced."""

    must_see_id = False
    processors: tuple[LogitsProcessor, ...] = ()

    def __init__(self, after: dict[int, tuple[int, ...]]) -> None:
        self.after = after

    def feed(self, token: int, place: Place) -> Verdict | None:
        written = self.after.pop(token, None)
        return Verdict(Act.WRITE, tokens=written) if written else None


class Trimmed(SimpleNamespace):
    """A layer that counts what is dropped."""

    def trim(self, count: int) -> None:
        self.dropped += count


def scripted_ids(writes: dict[int, tuple[int, ...]], **options: Any) -> Any:
    """The ids of a reply that says 41, 42, 43 ... and is written into; and what trims are made."""
    model = cast(Transformer, Scripted(says(*range(41, 50))))
    layer = Trimmed(state=mx.zeros(1), dropped=0)
    logits = prefill(model, [0], [layer])
    assert logits is not None
    sampler = Sampler(SamplingOptions(temperature=0), [0], VOCAB)
    ids = decode(
        model,
        logits,
        [layer],
        sampler,
        max_tokens=8,
        stop_tokens=frozenset({EOS}),
        steering=steering([Writes(writes)]),
        **options,
    )
    return ids, layer


@pytest.mark.parametrize("driven", ["plain", "guessing", "measured"])
def test_what_is_forced_after_forced_ids_is_written(driven: str) -> None:
    """An ending right after a forced close is such a case: dropped, it would leave broken JSON."""
    options: dict[str, Any] = {
        "plain": {},
        "guessing": {"speculation": Guesses([])},
        "measured": {"meter": LogprobMeter(0, FakeTokenizer().id_to_bytes)},
    }[driven]
    ids, _ = scripted_ids({41: (7, 8), 8: (9, 10), 10: (11,)}, **options)
    assert list(ids) == [41, 7, 8, 9, 10, 11, 47, 48]


def test_a_caller_that_stops_among_forced_ids_finds_none_of_the_others_in_the_cache() -> None:
    ids, layer = scripted_ids({41: (7, 8, 9)})
    assert [next(ids), next(ids)] == [41, 7]
    ids.close()
    assert layer.dropped == 2


def test_logprobs_are_on_their_way_before_the_next_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else reading them would wait for that pass."""
    happened: list[str] = []
    started = mx.async_eval

    class Noting(LogprobMeter):
        latest: Any = (None,)

        def measure(self, logits: mx.array, tokens: mx.array) -> Any:
            self.latest = super().measure(logits, tokens)
            return self.latest

    meter = Noting(1, FakeTokenizer().id_to_bytes)

    def note(*arrays: Any) -> None:
        if arrays and isinstance(arrays[0], list):
            is_measured = any(each is meter.latest[0] for each in arrays[0])
            happened.extend(["logprob"] * is_measured)
        started(*arrays)

    class Noted(Scripted):
        def hidden(self, tokens: mx.array, cache: list[Any]) -> mx.array:
            happened.append("pass")
            return super().hidden(tokens, cache)

    monkeypatch.setattr(mx, "async_eval", note)
    model = cast(Transformer, Noted(says(*range(41, 50))))
    sampler = Sampler(SamplingOptions(temperature=0), [0], VOCAB)
    logits = says(41)([0])[None]
    ids = decode(model, logits, [], sampler, max_tokens=4, stop_tokens=frozenset(), meter=meter)
    assert len(list(ids)) == 4
    assert happened == ["logprob", "pass"] * 3 + ["logprob"]


@pytest.mark.parametrize("kv_bits", [16, 8])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_several_that_guess_share_passes(tmp_path: Path, kv_bits: int, temperature: float) -> None:
    """Drafted rows of one reply, plain rows of another: each gets the ids it gets alone."""
    model, _ = load_model(write_hf(tmp_path / "model"))
    prompts = [PROMPT, PROMPT[:5], PROMPT[2:]]

    def start(seed: int, speculation: Any) -> tuple[Driver, list[Any]]:
        cache: list[Any] = list(make_cache(model, kv_bits))
        logits = prefill(model, prompts[seed], cache)
        assert logits is not None
        options = SamplingOptions(temperature=temperature, top_p=1, seed=seed)
        sampler = Sampler(options, prompts[seed], SMALL.vocab_size)
        driver = Driver(
            logits,
            sampler,
            max_tokens=30,
            stop_tokens=frozenset(),
            speculation=speculation,
        )
        return driver, cache

    def finish(started: list[tuple[Driver, list[Any]]]) -> list[list[int]]:
        said: list[list[int]] = [[] for _ in started]
        while any(not driver.is_done for driver, _ in started):
            taking = [(driver, cache) for driver, cache in started if not driver.is_done]
            passing = [pair for pair in taking if pair[0].inputs is not None]
            if passing:
                segments = [
                    Segment(cast(mx.array, driver.inputs), cache, driver.wanted_logits)
                    for driver, cache in passing
                ]
                for (driver, _), logits in zip(passing, run_pass(model, segments), strict=True):
                    pending = driver.prepare(logits)
                    if pending is not None:
                        driver.accept(draw_together([pending])[0])
            for (driver, cache), ids in zip(started, said, strict=True):
                if not driver.is_done:
                    ids += driver.read(cache)
        return said

    alone = [finish([start(seed, None)])[0] for seed in range(3)]
    guesses = [Guesses(alone[0]), None, Guesses(alone[2])]
    together = [start(seed, each) for seed, each in enumerate(guesses)]
    assert finish(together) == alone
    assert all(each.kept > 5 for each in guesses if each is not None)
    for (_, cache), ids, prompt in zip(together, alone, prompts, strict=True):
        assert len(prompt) + len(ids) - 2 <= cache[0].offset <= len(prompt) + len(ids)
