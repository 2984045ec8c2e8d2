"""``mlx-magistral convert``: a checkpoint in, a quantized MLX folder out."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from mlx_magistral.cli.layout import echo
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import (
    Decorator,
    adapter_option,
    debug_option,
    output_options,
    refuse_both,
)

if TYPE_CHECKING:
    from magistral_convert.calibration.data import CalibrationText
    from magistral_convert.progress import ConversionReport
    from magistral_convert.recipe import Recipe
    from magistral_convert.sources.source import Source
    from mlx_magistral.model.adapters.adapter import Adapter

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _choice(name: str, values: str, default: str, text: str) -> Decorator:
    kind = click.Choice(values.split())
    return click.option(name, type=kind, default=default, show_default=True, help=text)


def conversion_options(bits: str) -> Decorator:
    """Add what a conversion takes beside its source and its output; ``bits`` is the default."""
    options = (
        _choice("--bits", "3 4 5 6 8 16", bits, "Of a weight; 16 keeps it."),
        _choice("--group-size", "32 64 128", "64", "Columns that share one scale and bias."),
        _choice("--dtype", "bfloat16 float16", "bfloat16", "Of the rest; for M1 and M2 float16."),
        _choice("--recipe", "plain search calibrated", "plain", "How the codes are chosen."),
        _choice("--mix", "none static auto", "none", "Which matrices get more bits."),
        click.option("--bits-per-weight", type=float, help="The average --mix auto may reach."),
        click.option("--calibration", type=_FILE, help="Text or JSONL, not the built-in text."),
        click.option("--tokenizer", type=_FILE, help="A tekken.json, not the one beside SOURCE."),
        click.option("--restart", is_flag=True, help="Throw an unfinished conversion away."),
        output_options,
        debug_option,
    )

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.command()
@click.argument("source", shell_complete=complete_model)
@click.argument("output")
@adapter_option
@conversion_options(bits="4")
def command(source: str, output: str, adapter: str | None, **options: Any) -> None:
    """Quantize SOURCE (a folder or hub id, native, HF or MLX format) into the new folder OUTPUT.

    What cannot be converted is refused before a hub id is downloaded. The plain recipe needs 0.25
    GB of memory for any model. What was killed, download or conversion, goes on where it stopped
    when the same command is run again.

    \b
      mlx-magistral convert mistralai/Magistral-Small-2507 magistral-4bit
      mlx-magistral convert SOURCE OUTPUT --recipe calibrated --mix static
      mlx-magistral convert SOURCE OUTPUT --recipe calibrated --mix auto --bits-per-weight 3.6
    """
    convert(source, output, adapter, **options)


def convert(
    source: str,
    output: str,
    adapter: str | None,
    calibration: Path | None,
    tokenizer: Path | None,
    restart: bool,
    is_quiet: bool,
    is_verbose: bool,
    **aim: Any,
) -> None:
    """Convert ``source``, with an adapter worked in where one is named; prints what came out."""
    from magistral_convert.display import ConversionDisplay
    from magistral_convert.output.place import output_place, require_free
    from magistral_convert.pipeline import convert_checkpoint
    from magistral_convert.sources.fused import fuse
    from mlx_magistral.hub.known_folders import remember_folder

    refuse_both(is_quiet=is_quiet, is_verbose=is_verbose)
    recipe, place = _recipe(**aim), output_place(output)
    require_free(place, recipe.to_json())
    update = None if adapter is None else _adapter(adapter)
    opened, text = _fetch_source(
        source, place, recipe, calibration, tokenizer, is_shown=not is_quiet
    )
    if update is not None:
        opened = fuse(opened, update, recipe)
    try:
        with ConversionDisplay(is_quiet=is_quiet, is_verbose=is_verbose) as display:
            report = convert_checkpoint(
                opened,
                place,
                recipe,
                text=text,
                tokenizer=tokenizer,
                restart=restart,
                watcher=display,
            )
    except KeyboardInterrupt:
        kept = place.with_name(place.name + ".partial")
        click.echo(f"Finished shards are kept in {kept}; the same command goes on.", err=True)
        raise
    remember_folder(place)
    if is_quiet:
        click.echo(place)
        return
    echo(_summary(place, report))
    echo(f"Next: mlx-magistral chat -m {shlex.quote(str(place))}")


def _fetch_source(
    name: str,
    output: Path,
    recipe: "Recipe",
    calibration: Path | None,
    tokenizer: Path | None,
    *,
    is_shown: bool,
) -> tuple["Source", "CalibrationText | None"]:
    """The source, downloaded where it is a hub id, after a look at all that can be refused."""
    from magistral_convert.checks import check_conversion
    from magistral_convert.sources.kinds import is_one_file, resolve_source
    from magistral_convert.sources.safetensors import SafetensorsSource
    from mlx_magistral.cli.fetching import fetch_examined
    from mlx_magistral.hub.examine import examine, require_vocabulary

    if is_one_file(Path(name).expanduser()):
        opened = resolve_source(name)
        tekken = tokenizer or opened.folder / "tekken.json"
        if tekken.is_file():
            require_vocabulary(tekken, opened.config.vocab_size, name)
        return opened, _text(recipe, opened, calibration, tokenizer)
    examined = examine(name, tokenizer=tokenizer)
    source = SafetensorsSource(examined.checkpoint)
    text = _text(recipe, source, calibration, tokenizer)
    missing = examined.repository.missing_bytes if examined.repository else 0
    check_conversion(source, output, recipe, text=text, download_bytes=missing)
    fetch_examined(name, examined, is_shown=is_shown)
    return source, text


def _adapter(folder: str) -> "Adapter":
    from mlx_magistral.model.adapters.reading import read_adapter

    return read_adapter(folder)


def _recipe(
    bits: str, group_size: str, dtype: str, recipe: str, mix: str, bits_per_weight: float | None
) -> "Recipe":
    from magistral_convert.recipe import LEAST_BITS, Method, Mix, Recipe

    least = int(bits)
    is_asked = (
        click.get_current_context().get_parameter_source("bits") is not ParameterSource.DEFAULT
    )
    if mix == Mix.AUTO and not is_asked:
        least = LEAST_BITS
    return Recipe(least, int(group_size), dtype, Method(recipe), Mix(mix), bits_per_weight)


def _text(
    recipe: "Recipe", source: "Source", calibration: Path | None, tokenizer: Path | None
) -> "CalibrationText | None":
    from magistral_convert.calibration.data import CalibrationText
    from magistral_convert.calibration.text_choice import choose_text

    if not recipe.needs_text:
        return None
    return CalibrationText.split(choose_text(source.folder, calibration, tokenizer=tokenizer))


def _summary(output: Path, report: "ConversionReport") -> str:
    from magistral_convert.memory import readable_bytes

    quality = f"KL to the source {report.quality['KL mean']}; " if report.quality else ""
    return (
        f"{output}: {readable_bytes(report.nbytes)}, {report.bits_per_weight:.2f} bits a weight, "
        f"in {report.seconds:.1f} s; peak memory {readable_bytes(report.peak_memory_bytes)}; "
        f"{quality}largest error {report.worst_error:.4f} at {report.worst_tensor}."
    )
