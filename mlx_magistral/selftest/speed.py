"""How fast decode is, beside what this machine's memory would allow."""

from mlx_magistral.bench.bandwidth import machine_bandwidth
from mlx_magistral.bench.measure import Case, measure
from mlx_magistral.bench.ours import Ours
from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.selftest.line import Line, judged

_PROMPT_TOKENS, _DECODE_TOKENS, _RUNS = 128, 32, 2


def speed_line(loaded: Magistral) -> Line:
    """A figure, and no bound: no rate is wrong, but 0 and one over the limit are."""
    bandwidth = machine_bandwidth()
    (result,) = measure(
        Ours(loaded),
        [Case(_PROMPT_TOKENS)],
        decode_tokens=_DECODE_TOKENS,
        runs=_RUNS,
        bytes_per_s=bandwidth.bytes_per_s,
    )
    limit = f"{bandwidth.bytes_per_s / 1e9:.0f} GB/s, {bandwidth.source}"
    figure = (
        f"{result.run.decode_tps:.1f} tok/s, prefill {result.run.prefill_tps:,.0f}; "
        f"{result.bandwidth_share:.1%} of {limit}"
    )
    return judged("decode rate", 0 < result.bandwidth_share < 1, figure)
