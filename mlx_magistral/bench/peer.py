"""mlx-lm as what is measured, on the same folder. The only user of mlx_lm here."""

from importlib.util import find_spec
from pathlib import Path

import mlx.core as mx

from mlx_magistral.bench.measure import Case, Run, matrix_bytes, timed
from mlx_magistral.errors import MissingExtraError, UsageError
from mlx_magistral.hub.tokenizer_source import find_tokenizer
from mlx_magistral.memory.sizes import kv_bytes
from mlx_magistral.model.checkpoint import open_checkpoint
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer


def require_peer(folder: Path) -> None:
    """Raise MissingExtraError or UsageError where mlx-lm cannot run this folder."""
    if find_spec("mlx_lm") is None:
        raise MissingExtraError("Comparisons with mlx-lm", "draft")
    if not (folder / "config.json").is_file():
        raise UsageError(
            f"mlx-lm cannot load {folder}: it has no config.json. Convert it first: "
            "mlx-magistral convert MODEL FOLDER --bits 16"
        )


class Peer:
    """A Subject of ``measure``; 16-bit KV and no guessing, whatever the case says."""

    def __init__(self, folder: Path) -> None:
        require_peer(folder)
        from mlx_lm.utils import load_model

        self.tokenizer: Tokenizer = load_tokenizer(folder, find_tokenizer(folder))
        self._config = open_checkpoint(folder).config
        self._model = load_model(folder)[0]

    def run(self, case: Case, prompt: list[int], decode_tokens: int) -> Run:
        from mlx_lm.generate import generate_step

        mx.reset_peak_memory()
        ids = generate_step(mx.array(prompt), self._model, max_tokens=decode_tokens)
        prefill_tps, decode_tps = timed(ids, len(prompt), decode_tokens)
        return Run(prefill_tps, decode_tps, 1.0, mx.get_peak_memory())

    def bytes_per_pass(self, context_tokens: int, kv_bits: int) -> int:
        return matrix_bytes(self._model) + kv_bytes(self._config, context_tokens, kv_bits)
