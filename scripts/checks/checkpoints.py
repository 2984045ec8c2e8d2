#!/usr/bin/env python3
"""What other tools write, loaded here: the table that docs/converting.md shows under "What loads".

Three versions of transformers, mlx-lm and gguf each write a tiny random model in every layout they
know, and compute its logits from what they wrote. Here each has to load with equal logits, or be
refused by name; anything else, and any layout that is expected to load and is refused, is a fault,
and the exit code 1. The versions of transformers are installed once, each in an environment of its
own under --work that takes torch and the rest from this one.

    scripts/checks/checkpoints.py --work build/checkpoints [--only mlx-lm] [--json]
"""

import argparse
import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from magistral_convert.sources.kinds import resolve_source
from magistral_convert.sources.layer_weights import read_tensor
from mlx_magistral.errors import MagistralError
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import load_model

sys.path.insert(0, str(Path(__file__).parent))
from checkpoint_layouts.table import Row, table  # noqa: E402

# Version -> what it wants beside it; torch, numpy and safetensors are this environment's.
TRANSFORMERS = {
    "4.48.3": ("tokenizers==0.21.4", "huggingface-hub==0.36.0"),
    "4.57.1": ("tokenizers==0.22.1", "huggingface-hub==0.36.0"),
    "5.24.0": (),
}
TOKENS = [[(7 * place) % 320 for place in range(12)]]
# Largest difference of a logit, of the largest logit: float32 on both sides.
TOLERANCE = 1e-4
# Layouts that are not computed here, by the words of their names; all others have to load.
REFUSED = (
    "yarn",
    "Llama",
    "pytorch_model.bin",
    "shorter than the context",
    "beside rope_parameters",
    "mode mxfp4",
    "mode mxfp8",
    "mode nvfp4",
    "qwen2",
    "type number",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for environments and files"
    )
    parser.add_argument("--only", choices=("transformers", "mlx-lm", "gguf"))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    mx.disable_compile()  # mlx-lm compiles, and on a CPU that starts a C++ compiler
    written = options.work.resolve() / "written"
    rows: list[Row] = []
    if options.only in (None, "transformers", "mlx-lm"):
        for version in TRANSFORMERS:
            _write_with_transformers(options.work.resolve(), version, written)
    if options.only in (None, "transformers"):
        for version in TRANSFORMERS:
            rows += _rows(f"transformers {version}", written / version)
    if options.only in (None, "mlx-lm"):
        from checkpoint_layouts import write_mlx_lm
        from mlx_lm import __version__ as mlx_lm_version

        _, late, latest = (written / version for version in TRANSFORMERS)
        sources = {"Mistral": late / "bfloat16", "Mistral3": late / "Mistral3 (multimodal)"}
        misread = {"Mistral that transformers 5 saved": latest / "float32"}
        folder = _emptied(written / "mlx-lm")
        write_mlx_lm.write_all(folder, sources, misread, TOKENS)
        rows += _rows(f"mlx-lm {mlx_lm_version}", folder)
    if options.only in (None, "gguf"):
        from importlib.metadata import version as version_of

        from checkpoint_layouts import write_gguf

        folder = _emptied(written / "gguf")
        write_gguf.write_all(folder, TOKENS)
        rows += _rows(f"gguf {version_of('gguf')}", folder)
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in rows]}))
    else:
        print("\n".join(table(rows)))
    wrong = [row for row in rows if not row.is_right]
    for row in wrong:
        print(f"WRONG: {row.tool}, {row.layout}: {row.outcome}", file=sys.stderr)
    return 1 if wrong else 0


def _write_with_transformers(work: Path, version: str, written: Path) -> None:
    """Make the version's environment if it is not there, and let it write its layouts."""
    home = work / "environments" / version
    python = home / "bin" / "python"
    if not python.exists():
        venv.create(home, with_pip=False)
        (packages,) = home.glob("lib/python3*/site-packages")
        wanted = [f"transformers=={version}", *TRANSFORMERS[version]]
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*install, "--target", str(packages), *wanted], check=True)
        shared = [path for path in sys.path if path.endswith("site-packages")]
        lines = [f"import site; site.addsitedir({path!r})" for path in shared]
        (packages / "shared.pth").write_text("\n".join(lines) + "\n")
    script = Path(__file__).parent / "checkpoint_layouts" / "write_transformers.py"
    folder = _emptied(written / version)
    subprocess.run([str(python), str(script), str(folder)], check=True)


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _rows(tool: str, root: Path) -> Iterator[Row]:
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        must_load = not any(words in folder.name for words in REFUSED)
        reference = folder / "logits.npy"
        try:
            logits = _logits(folder)
        except MagistralError as error:
            # The folder's place says nothing; what is refused, does.
            line = str(error).splitlines()[0].replace(f"{folder}/", "").replace(f"{folder}", "it")
            yield Row(tool, folder.name, f"refused: {line}", not must_load)
            continue
        if not reference.exists():
            refusal = (folder / "refusal.txt").read_text()
            yield Row(tool, folder.name, f"loads; its own tool says {refusal}", True)
            continue
        expected = np.load(reference)
        difference = float(np.abs(logits - expected).max() / np.abs(expected).max())
        is_equal = difference <= TOLERANCE
        verdict = "loads, logits equal" if is_equal else f"loads, LOGITS DIFFER by {difference:.1e}"
        yield Row(tool, folder.name, verdict, is_equal and must_load)


def _logits(folder: Path) -> Any:
    """Of a folder, or of a GGUF file in it through the converter's reader, without rounding."""
    files = [path for path in sorted(folder.iterdir()) if path.suffix not in (".npy", ".txt")]
    if (folder / "config.json").exists():
        model = load_model(folder).model
        model.set_dtype(mx.float32)
    else:
        source = resolve_source(str(files[0]))
        model = Transformer(source.config)
        weights = [(name, read_tensor(source, name).astype(mx.float32)) for name in source.shapes]
        model.load_weights(weights, strict=True)
    return np.array(model(mx.array(TOKENS)).astype(mx.float32))


if __name__ == "__main__":
    sys.exit(main())
