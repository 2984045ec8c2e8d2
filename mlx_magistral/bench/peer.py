"""mlx-lm on the same folder, for a comparison in one process. The only user of mlx_lm here."""

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx

from mlx_magistral.bench.measure import Run, timed
from mlx_magistral.errors import MissingExtraError, UsageError


def load_peer(folder: Path) -> Callable[[list[int], int], Run]:
    """A function that runs a prompt in mlx-lm; raises MissingExtraError or UsageError."""
    try:
        from mlx_lm.generate import generate_step
        from mlx_lm.utils import load_model
    except ModuleNotFoundError as error:
        raise MissingExtraError("Comparisons with mlx-lm", "draft") from error
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"mlx-lm cannot load {folder}: it has no config.json. Convert it first: "
            "mlx-magistral convert MODEL FOLDER --bits 16"
        )
    model = load_model(folder)[0]

    def run(prompt: list[int], decode_tokens: int) -> Run:
        mx.reset_peak_memory()
        ids = generate_step(mx.array(prompt), model, max_tokens=decode_tokens)
        prefill_tps, decode_tps = timed(ids, len(prompt), decode_tokens)
        return Run(prefill_tps, decode_tps, 1.0, mx.get_peak_memory())

    return run
