"""This runtime as what is measured: one loaded model, its caches and its guessing."""

from collections.abc import Iterator

import mlx.core as mx

from mlx_magistral.bench.measure import Case, Run, matrix_bytes, timed
from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.decode.speculation.drafts import Drafts, SpeculateOption
from mlx_magistral.decode.speculation.gate import MOST_COPIED
from mlx_magistral.decode.speculation.pass_costs import PassCosts, costs_folder, fingerprint
from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.memory.sizes import kv_bytes
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.quantized_cache import DIRECT_ROWS
from mlx_magistral.text.tokenizer import Tokenizer


class Ours:
    """A Subject of ``measure``."""

    def __init__(self, loaded: Magistral) -> None:
        self.loaded = loaded

    @property
    def tokenizer(self) -> Tokenizer:
        return self.loaded.tokenizer

    def run(self, case: Case, prompt: list[int], decode_tokens: int) -> Run:
        return _run(self.loaded, case, prompt, decode_tokens)

    def bytes_per_pass(self, context_tokens: int, kv_bits: int) -> int:
        held = self.loaded.memory.held or self.loaded.config
        kept = kv_bytes(held, context_tokens, kv_bits)
        return matrix_bytes(self.loaded.model) + kept


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
            measure_rows=lambda rows: costs.measure_rows(model, cache, rows),
            longest=MOST_COPIED if case.kv_bits == 16 else DIRECT_ROWS - 1,
        )
    mx.reset_peak_memory()

    def ids() -> Iterator[int]:
        chunk = loaded.memory.plan.chunk_tokens
        logits = prefill(model, prompt, cache, chunk_tokens=chunk, speculation=drafts)
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
