"""``mlx-magistral show``: what a model is, where it came from, and what it needs here."""

from pathlib import Path
from typing import Any

import click

from mlx_magistral.cli.layout import echo_fact, echo_json
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option

_KEY_COLUMNS = 15


@click.command()
@click.argument("model", required=False, shell_complete=complete_model)
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@debug_option
def command(model: str | None, as_json: bool) -> None:
    """Show MODEL (default: the default model) without loading it.

    \b
      mlx-magistral show nano
      mlx-magistral show magistral-4bit --json
    """
    from mlx_magistral.hub.resolve import default_model, require_local

    name = model or default_model()
    facts = _facts(name, require_local(name))
    if as_json:
        echo_json(facts)
        return
    for key, value in facts.items():
        if value not in (None, {}):
            shown = _readable(key, value)
            label = "weights" if key == "weight_bytes" else key.replace("_", " ")
            echo_fact(label, shown, _KEY_COLUMNS)


def _facts(name: str, folder: Path) -> dict[str, Any]:
    from mlx_magistral.hub.cache import hub_origin
    from mlx_magistral.hub.examine import examine
    from mlx_magistral.memory.machine import this_machine
    from mlx_magistral.memory.plan import longest_context, make_plan
    from mlx_magistral.model.config import DEFAULT_CONTEXT
    from mlx_magistral.model.config_fields import read_json
    from mlx_magistral.model.names import expected_shapes
    from mlx_magistral.model.stored_form import stored_as

    checkpoint = examine(name).checkpoint
    config = checkpoint.config
    weights = sum(_product(shape) for shape in expected_shapes(config).values())
    ceiling = config.max_position_embeddings or DEFAULT_CONTEXT
    machine = this_machine()
    plan = make_plan(config, checkpoint.nbytes, machine, min(DEFAULT_CONTEXT, ceiling))
    longest = longest_context(config, checkpoint.nbytes, machine, plan.kv_bits, ceiling)
    manifest = folder / "conversion.json"
    made = read_json(manifest) if manifest.is_file() else {}
    return {
        "name": name,
        "folder": str(folder),
        "kind": checkpoint.kind.value,
        "architecture": f"{config.n_layers} layers of {config.dim}, {config.n_heads} heads "
        f"({config.n_kv_heads} for KV), vocabulary {config.vocab_size:,}",
        "parameters": weights,
        "weight_bytes": checkpoint.nbytes,
        "bits_per_weight": round(8 * checkpoint.nbytes / weights, 3),
        "stored_as": stored_as(checkpoint),
        "tokenizer": "tekken.json" if (folder / "tekken.json").is_file() else None,
        "source": hub_origin(folder) or _made_from(made.get("source", {})),
        "recipe": made.get("recipe", {}),
        "quality": made.get("quality", {}),
        "memory": plan.describe(),
        "fits": plan.fits,
        "longest_context": longest,
    }


def _made_from(source: dict[str, Any]) -> dict[str, Any]:
    """What conversion.json tells of the source; the repository where it came from the hub."""
    return {key: source[key] for key in ("repository", "commit", "kind") if key in source}


def _product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _readable(key: str, value: Any) -> str:
    if isinstance(value, dict):
        return _pairs(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key.endswith("_bytes"):
        return f"{value / 1e9:.3f} GB"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _pairs(values: dict[str, Any]) -> str:
    """Without tables inside, such as a format for each of a mix's modules: --json has them."""
    flat = {key: value for key, value in values.items() if not isinstance(value, dict)}
    return ", ".join(f"{key} {value}" for key, value in flat.items() if value is not None)
