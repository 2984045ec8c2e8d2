"""Prefill and decode speeds of cases that are run in turn, so that all meet the same machine."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx

from mlx_magistral.text.tokenizer import Tokenizer

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


class Subject(Protocol):
    """A loaded model, whoever runs it."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    def run(self, case: Case, prompt: list[int], decode_tokens: int) -> Run:
        """Read the prompt, decode so many ids greedily, and say how fast it was."""

    def bytes_per_pass(self, context_tokens: int, kv_bits: int) -> int:
        """What a decode pass of one row reads: all weights but the embedding's rows, and the KV."""


def measure(
    subject: Subject,
    cases: Sequence[Case],
    *,
    decode_tokens: int,
    runs: int,
    bytes_per_s: float,
    on_run: Callable[[Case, Run], None] = lambda case, run: None,
) -> list[Result]:
    """Run every case ``runs`` times in turn, after one round that is not counted."""
    found: dict[Case, list[Run]] = {case: [] for case in cases}
    for round_ in range(runs + 1):
        for case in cases:
            run = subject.run(case, prompt_of(subject.tokenizer, case.prompt_tokens), decode_tokens)
            if round_:
                found[case].append(run)
            on_run(case, run)
    return [
        Result(case, median, _share(subject, case, median, decode_tokens, bytes_per_s))
        for case, median in ((case, _median(found[case])) for case in cases)
    ]


def prompt_of(tokenizer: Tokenizer, count: int) -> list[int]:
    """So many ids of text."""
    text = tokenizer.encode(_QUESTION)
    return (text * (count // len(text) + 1))[:count]


def matrix_bytes(model: Any) -> int:
    """Bytes of every weight but the embedding's, in a model of ours or of mlx-lm's."""
    return parameter_bytes(model) - parameter_bytes(model.model.embed_tokens)


def parameter_bytes(module: Any) -> int:
    """Bytes of every weight."""
    from mlx.utils import tree_flatten

    flat: list[tuple[str, mx.array]] = tree_flatten(module.parameters())  # type: ignore[assignment]
    return sum(array.nbytes for _, array in flat)


def timed(ids: Iterator[Any], prompt_tokens: int, decode_tokens: int) -> tuple[float, float]:
    """Prefill and decode in tokens a second; the first id is the prefill's."""
    started = time.perf_counter()
    next(ids)
    first = time.perf_counter()
    for _ in ids:
        pass
    last = time.perf_counter()
    return prompt_tokens / (first - started), (decode_tokens - 1) / max(last - first, 1e-9)


def _median(runs: Sequence[Run]) -> Run:
    return Run(
        statistics.median(run.prefill_tps for run in runs),
        statistics.median(run.decode_tps for run in runs),
        statistics.median(run.tokens_per_pass for run in runs),
        max(run.peak_bytes for run in runs),
    )


def _share(subject: Subject, case: Case, run: Run, count: int, bytes_per_s: float) -> float:
    context = case.prompt_tokens + count // 2
    passes_per_s = run.decode_tps / run.tokens_per_pass
    return passes_per_s * subject.bytes_per_pass(context, case.kv_bits) / bytes_per_s
