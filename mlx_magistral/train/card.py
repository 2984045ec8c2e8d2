"""The adapter's model card: what it is, what it was trained on and how, and how to use it."""

from pathlib import Path

from mlx_magistral.train.adapter_folder import CARD_FILE, Base
from mlx_magistral.train.dataset import DataCheck
from mlx_magistral.train.files import write_text
from mlx_magistral.train.history import History
from mlx_magistral.train.options import Method, TrainOptions


def write_card(
    folder: Path, base: Base, options: TrainOptions, check: DataCheck, history: History
) -> None:
    """README.md in the hub's form; raises TrainingError."""
    best = history.best
    rows = {
        "method": _method(options),
        "examples": f"{check.count:,}, {check.valid_count:,} held out",
        "ids that carry loss": f"{check.target_share:.0%}",
        "steps": f"{len(history.steps):,} of {_batch(options)}",
        "rate": f"{options.learning_rate:g}, cosine after a warm-up",
        "first and last loss": f"{history.steps[0].loss:.4f}, {history.steps[-1].loss:.4f}",
        "held-out loss before": f"{history.valid[0].loss:.4f}" if history.valid else "not measured",
        "held-out loss of these weights": (
            f"{best.loss:.4f}, after step {best.step:,}" if best else "not measured"
        ),
        "seed": str(options.seed),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    tag = "full" if options.method is Method.FULL else "lora"
    write_text(
        folder / CARD_FILE,
        f"""---
library_name: mlx
base_model: {base.name}
tags:
- mlx
- {tag}
---

# {folder.resolve().name}

An adapter for {base.name} (base {base.sha256[:12]}), trained with mlx-magistral.

    mlx-magistral generate -m {base.name} --adapter {folder.name} "..."
    mlx-magistral fuse {base.name} {folder.name} OUTPUT

| | |
|---|---|
{table}
""",
    )


def _method(options: TrainOptions) -> str:
    layers = "all layers" if options.num_layers == -1 else f"the last {options.num_layers} layers"
    if options.method is Method.FULL:
        return f"the weights of {layers}"
    name = "DoRA" if options.method is Method.DORA else "LoRA"
    return f"{name}, rank {options.rank}, alpha {options.alpha:g}, all linears of {layers}"


def _batch(options: TrainOptions) -> str:
    packs = options.grad_accumulation_steps
    return f"{options.batch_size * packs} examples"
