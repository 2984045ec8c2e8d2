"""What a pass of several rows costs on chips that nobody here has, as others published it.

Rows of a pass to its cost, in passes of one row, of a dense model at 4 bits (affine, groups of 64)
in MLX, with MLX's own kernels. What is replayed on them is arithmetic and no measurement of ours.
Between two counts lies a straight line; past the last one more rows cost in proportion.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mlx_magistral.decode.speculation.gate import Costs

# A guess of a head beside Magistral, by the bytes that each reads: arithmetic, on no chip measured.
GUESS_COST = 0.07


@dataclass(frozen=True)
class Curve:
    """``source`` says who measured what, and what was computed from it."""

    rows: Mapping[int, float]
    source: str

    @property
    def costs(self) -> Costs:
        """As the gate takes them, a pass of one row being a twentieth of a second."""
        return Costs({rows: cost / 20 for rows, cost in self.rows.items()})


CURVES = {
    "M2 Max": Curve(
        {1: 1.0, 2: 1.72, 3: 2.39, 4: 3.06, 8: 5.47},
        "derived: the M1 Ultra's, Qwen3.8-27B, 43.6, 75.0, 104.4, 133.2 and 238.7 ms at 1, 2, 3, 4 "
        "and 8 rows (lablup/mlxcel, qwen38-mtp-m1ultra-2026-08-16), which takes the same kernel as "
        "all before the M3 (ml-explore/mlx pull 3764). On an M2 Max the same model went from 20.9 "
        "to 18.1 tok/s at 2.62 tokens a pass of 4 rows and 3 guesses (raullenchai/Rapid-MLX issue "
        "3156): 3.03 steps a round",
    ),
    "M4 Pro": Curve(
        {1: 1.0, 2: 1.11, 3: 1.31, 4: 1.45, 6: 1.98, 8: 2.45},
        "derived: one product each of four shapes, MLX 0.32.0 (ml-explore/mlx issue 3839), by the "
        "number of their weights",
    ),
    "M5 Max": Curve(
        {1: 1.0, 2: 1.11, 3: 1.15, 4: 1.28, 8: 2.47, 16: 2.65, 32: 2.65},
        "whole passes of Qwen3.8-27B: 30.7, 35.2, 39.4 and 75.7 ms at 1, 3, 4 and 8 rows "
        "(lablup/mlxcel pulls 1182 and 1197), 34.0 at 2 (Pushkinist/rMLX issue 516, of its 614 "
        "GB/s an M5 Max); at 16 and 32 derived from its output head, 3.27 and 3.11 against 1.23 ms "
        "(lablup/mlxcel, mtp-verify-early-exit-decision-m5max-2026-08-22)",
    ),
}
