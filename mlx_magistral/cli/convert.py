"""``mlx-magistral convert``: a checkpoint in, a quantized MLX folder out."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlx_magistral.cli.options import debug_option

if TYPE_CHECKING:
    from magistral_convert.progress import ConversionReport


@click.command()
@click.argument("source")
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--bits",
    type=click.Choice(["4", "6", "8", "16"]),
    default="4",
    show_default=True,
    help="Bits a weight; 16 keeps the weights as they are.",
)
@click.option(
    "--group-size",
    type=click.Choice(["32", "64", "128"]),
    default="64",
    show_default=True,
    help="Columns that share one scale and bias.",
)
@click.option(
    "--dtype",
    type=click.Choice(["bfloat16", "float16"]),
    default="bfloat16",
    show_default=True,
    help="Of what is not quantized; float16 is faster on M1 and M2.",
)
@click.option("--recipe", type=click.Choice(["plain"]), default="plain", show_default=True)
@click.option(
    "--tokenizer",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A tekken.json to take instead of the one beside SOURCE.",
)
@click.option("--restart", is_flag=True, help="Throw an unfinished conversion away.")
@debug_option
def command(
    source: str,
    output: Path,
    bits: str,
    group_size: str,
    dtype: str,
    recipe: str,
    tokenizer: Path | None,
    restart: bool,
) -> None:
    """Quantize SOURCE (a folder or hub id, native or HF format) into the new folder OUTPUT.

    Needs about 0.5 GB of memory for any model. A killed conversion goes on where it stopped when
    the same command is run again.

    \b
      mlx-magistral convert mistralai/Magistral-Small-2507 magistral-4bit --bits 4
    """
    from magistral_convert.display import ConversionDisplay
    from magistral_convert.pipeline import convert_checkpoint
    from magistral_convert.recipe import Method, Recipe
    from magistral_convert.source_kinds import open_source
    from mlx_magistral.hub import resolve_model

    aim = Recipe(int(bits), int(group_size), dtype, Method(recipe))
    opened = open_source(resolve_model(source))
    with ConversionDisplay() as display:
        report = convert_checkpoint(
            opened, output, aim, tokenizer=tokenizer, restart=restart, watcher=display
        )
    click.echo(_summary(output, report))


def _summary(output: Path, report: "ConversionReport") -> str:
    from magistral_convert.memory import readable_bytes

    return (
        f"{output}: {readable_bytes(report.nbytes)}, {report.bits_per_weight:.2f} bits a weight, "
        f"in {report.seconds:.1f} s; peak memory {readable_bytes(report.peak_memory_bytes)}; "
        f"largest error {report.worst_error:.4f} at {report.worst_tensor}."
    )
