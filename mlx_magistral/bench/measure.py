"""Prefill and decode speeds of cases that are run in turn, so that all meet the same machine."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.decode.speculation.drafts import Drafts, SpeculateOption
from mlx_magistral.decode.speculation.pass_costs import PassCosts, costs_folder, fingerprint
from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.memory.sizes import kv_bytes
from mlx_magistral.model.caches import make_cache

# Text that is neither random nor trivial; cut or repeated to the length of a prompt.
_QUESTION = (
    "A train leaves at 9:40 and takes 2 hours and 35 minutes. How long before noon, or after it, "
    "does it arrive? Think about each step, then write the time of arrival and the difference. "
)


@dataclass(frozen=True)
class Case:
    """What is run: so long a prompt, such a KV cache, so much guessing, by us or by mlx-lm."""

    prompt_tokens: int
    kv_bits: int = 16
    speculate: str = "off"
    engine: str = "mlx-magistral"


@dataclass(frozen=True)
class Run:
    """One measurement: tokens a second, ids a pass, and bytes at the peak."""

    prefill_tps: float
    decode_tps: float
    tokens_per_pass: float
    peak_bytes: int


@dataclass(frozen=True)
class Result:
    """The medians of a case's runs; ``bandwidth_share`` is of the limit, 1.0 at best."""

    case: Case
    run: Run
    bandwidth_share: float


def measure(
    loaded: Magistral,
    cases: Sequence[Case],
    *,
    decode_tokens: int,
    runs: int,
    bytes_per_s: float,
    peer: Callable[[list[int], int], Run] | None = None,
    on_run: Callable[[Case, Run], None] = lambda case, run: None,
) -> list[Result]:
    """Run every case ``runs`` times in turn, after one round that is not counted.

    ``peer(prompt, decode_tokens)`` runs the cases whose engine is mlx-lm.
    """
    found: dict[Case, list[Run]] = {case: [] for case in cases}
    for round_ in range(runs + 1):
        for case in cases:
            prompt = prompt_of(loaded, case.prompt_tokens)
            if case.engine == "mlx-lm":
                assert peer is not None
                run = peer(prompt, decode_tokens)
            else:
                run = _run(loaded, case, prompt, decode_tokens)
            if round_:
                found[case].append(run)
            on_run(case, run)
    return [
        Result(case, median, _share(loaded, case, median, decode_tokens, bytes_per_s))
        for case, median in ((case, _median(found[case])) for case in cases)
    ]


def prompt_of(loaded: Magistral, count: int) -> list[int]:
    """So many ids of text."""
    text = loaded.tokenizer.encode(_QUESTION)
    return (text * (count // len(text) + 1))[:count]


def bytes_per_pass(loaded: Magistral, context_tokens: int, kv_bits: int) -> int:
    """What a decode pass of one row reads: every weight but the embedding's rows, and the KV."""
    weights = sum(array.nbytes for _, array in _parameters(loaded.model))
    embedding = sum(array.nbytes for _, array in _parameters(loaded.model.model.embed_tokens))
    return weights - embedding + kv_bytes(loaded.config, context_tokens, kv_bits)


def timed(ids: Iterator[Any], prompt_tokens: int, decode_tokens: int) -> tuple[float, float]:
    """Prefill and decode in tokens a second; the first id is the prefill's."""
    started = time.perf_counter()
    next(ids)
    first = time.perf_counter()
    for _ in ids:
        pass
    last = time.perf_counter()
    return prompt_tokens / (first - started), (decode_tokens - 1) / max(last - first, 1e-9)


def _run(loaded: Magistral, case: Case, prompt: list[int], count: int) -> Run:
    model = loaded.model
    cache = make_cache(model, case.kv_bits)
    option = SpeculateOption.parse(case.speculate)
    drafts = None
    if not option.is_off:
        costs = PassCosts(fingerprint(model, cache), costs_folder())
        draft_model = loaded.draft_model.for_reply() if loaded.draft_model else None
        drafts = Drafts(
            prompt,
            costs,
            length=option.length,
            draft_model=draft_model,
            measure=lambda: costs.measure(model, cache),
        )
    mx.reset_peak_memory()

    def ids() -> Iterator[int]:
        chunk = loaded.memory.plan.chunk_tokens
        logits = prefill(model, prompt, cache, chunk_tokens=chunk)
        assert logits is not None
        sampler = Sampler(SamplingOptions(temperature=0), prompt, logits.shape[-1])
        # No id stops it: every run has the same length.
        yield from decode(
            model,
            logits,
            cache,
            sampler,
            max_tokens=count,
            stop_tokens=frozenset(),
            speculation=drafts,
        )

    prefill_tps, decode_tps = timed(ids(), len(prompt), count)
    per_pass = count / drafts.passes if drafts and drafts.passes else 1.0
    return Run(prefill_tps, decode_tps, per_pass, mx.get_peak_memory())


def _median(runs: Sequence[Run]) -> Run:
    return Run(
        statistics.median(run.prefill_tps for run in runs),
        statistics.median(run.decode_tps for run in runs),
        statistics.median(run.tokens_per_pass for run in runs),
        max(run.peak_bytes for run in runs),
    )


def _share(loaded: Magistral, case: Case, run: Run, count: int, bytes_per_s: float) -> float:
    context = case.prompt_tokens + count // 2
    passes_per_s = run.decode_tps / run.tokens_per_pass
    return passes_per_s * bytes_per_pass(loaded, context, case.kv_bits) / bytes_per_s


def _parameters(module: Any) -> list[tuple[str, mx.array]]:
    from mlx.utils import tree_flatten

    flat: list[tuple[str, mx.array]] = tree_flatten(module.parameters())  # type: ignore[assignment]
    return flat
