"""README.md of a converted folder: what it is, what it measures, how to run and check it."""

from collections.abc import Mapping
from typing import Any

from magistral_convert.memory import readable_bytes
from magistral_convert.recipe import NOT_QUANTIZED, Recipe

from .manifest import ShardRecord, TensorRecord
from .plan import ConversionPlan

_WORST_SHOWN = 5
_KINDS = "by kind"
_FEW_BITS = 4

_MAGISTRAL_SMALL = {"dim": 5120, "n_layers": 40, "vocab_size": 131072}
_BASE = "mistralai/Magistral-Small-2507"

_TEXT = """\
---
library_name: mlx
pipeline_tag: text-generation
{base}tags:
- mlx
- mistral
---

# {title}

Converted for MLX by mlx-magistral {version} from a {kind} checkpoint of {weights:,} parameters.

| | |
|---|---|
| Format | {format} |
| Method | {method} |
| Bits a weight | {bits_per_weight:.3f} |
| Size | {size} in {shards} files |
| Other tensors | {dtype} |

## Run

```sh
mlx-magistral generate -m FOLDER "What is 37 + 48?"
mlx_lm.generate --model FOLDER --prompt "What is 37 + 48?"
```

## Check

`mlx-magistral verify FOLDER` hashes every file against `conversion.json`; with `--source` it also
measures the error of every tensor against the checkpoint again.

## Error

Relative error of a tensor: root of (sum of squared differences / sum of squares). The largest:

| tensor | bits | error |
|---|---|---|
{worst}
{quality}
"""

_NOT_MEASURED = """
## Distance from the source

Not measured: this recipe reads no text. KL divergence, agreement and perplexities on a text, a
built-in one or your own, come from

```sh
mlx-magistral compare SOURCE FOLDER --data FILE
```"""

_MEASURED = """
## What was lost

On text that the conversion did not see, the likeliest next token is the source's own in a share of
{share}; the KL divergence from the source is {kl} nats a token.{few_bits}

The source is A, this is B:

| | |
|---|---|
{rows}{kinds}"""
_UNDER_FOUR_BITS = """

Under 4 bits a weight long chains of reasoning suffer first: small errors add up over thousands of
tokens, and the figures of single tokens do not show it (arXiv 2504.04823, 2606.00206). Where a long
answer goes wrong, compare it with one of a conversion in more bits."""


def write_model_card(
    plan: ConversionPlan,
    recipe: Recipe,
    source: Mapping[str, Any],
    records: Mapping[str, ShardRecord],
    quality: Mapping[str, Any],
    version: str,
) -> str:
    """The card's text. Holds no time and no path, so equal conversions have equal cards."""
    tensors = worst_tensors(records)[:_WORST_SHOWN]
    bits = f"{recipe.bits}-bit affine, groups of {recipe.group_size}"
    if recipe.bits == NOT_QUANTIZED:
        bits = f"{recipe.dtype}, not quantized"
    elif recipe.overrides:
        bits += f", {len(recipe.overrides)} modules otherwise"
    is_magistral = source["config"].items() >= _MAGISTRAL_SMALL.items()
    base = source.get("repository") or (_BASE if is_magistral else None)
    return _TEXT.format(
        title=f"Mistral for MLX: {bits}",
        base=f"base_model: {base}\n" if base else "",
        version=version,
        kind=source["kind"],
        weights=plan.weights,
        format=bits,
        method=recipe.method,
        bits_per_weight=plan.bits_per_weight,
        size=readable_bytes(plan.nbytes),
        shards=len(plan.shards),
        dtype=recipe.dtype,
        worst="\n".join(
            f"| {name} | {record.bits} | {record.error:.4f} |" for name, record in tensors
        ),
        quality=_quality_section(quality, plan.bits_per_weight),
    )


def worst_tensors(records: Mapping[str, ShardRecord]) -> list[tuple[str, TensorRecord]]:
    """All tensors, the one with the largest relative error first."""
    pairs = [pair for record in records.values() for pair in record.tensors.items()]
    return sorted(pairs, key=lambda pair: -pair[1].error)


def _quality_section(quality: Mapping[str, Any], bits_per_weight: float) -> str:
    """What was lost, in a sentence and in figures, all over and by kind of text."""
    if not quality:
        return _NOT_MEASURED + _few_bits(bits_per_weight)
    rows = "\n".join(f"| {name} | {value} |" for name, value in quality.items() if name != _KINDS)
    return _MEASURED.format(
        share=quality["top-1 agreement"],
        kl=quality["KL mean"],
        few_bits=_few_bits(bits_per_weight),
        rows=rows,
        kinds=_kinds_table(quality.get(_KINDS, {})),
    )


def _kinds_table(kinds: Mapping[str, Mapping[str, Any]]) -> str:
    if not kinds:
        return ""
    rows = "\n".join(
        f"| {name} | {kind['tokens']} | {kind['KL mean']} | {kind['top-1 agreement']} |"
        for name, kind in kinds.items()
    )
    return f"\n\n| text | tokens | KL mean | top-1 agreement |\n|---|---|---|---|\n{rows}"


def _few_bits(bits_per_weight: float) -> str:
    return _UNDER_FOUR_BITS if bits_per_weight < _FEW_BITS else ""
