"""``mlx-magistral compare``: how far apart two forms of a model are."""

import json
from pathlib import Path

import click

from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option, output_options

_BAR_COLUMNS = 50


@click.command()
@click.argument("a", shell_complete=complete_model)
@click.argument("b", shell_complete=complete_model)
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Text, or JSONL of {"messages"}, {"text"} or {"tokens"}.  [default: a built-in text]',
)
@click.option("--tokens", type=click.IntRange(min=2), default=8192, show_default=True)
@click.option("--layers", is_flag=True, help="Also the error after each layer, as bars.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@output_options
@debug_option
def command(
    a: str,
    b: str,
    data: Path | None,
    tokens: int,
    layers: bool,
    as_json: bool,
    is_quiet: bool,
    is_verbose: bool,
) -> None:
    """KL(A||B), top-1 agreement and perplexities of models A and B on the same tokens.

    Both stream through layer by layer, so neither has to fit in memory.

    \b
      mlx-magistral compare mistralai/Magistral-Small-2507 magistral-4bit --data traces.jsonl
    """
    from magistral_convert.compare import compare_models
    from magistral_convert.source_kinds import resolve_source
    from magistral_convert.text_choice import choose_text
    from mlx_magistral.cli.fetching import fetch_source
    from mlx_magistral.cli.steps import Steps

    with Steps(is_quiet=is_quiet or as_json, is_verbose=is_verbose and not as_json) as steps:
        for name in (a, b):
            fetch_source(name, is_shown=not (is_quiet or as_json))
        one, other = (resolve_source(name) for name in (a, b))
        measured = compare_models(one, other, choose_text(one.folder, data, limit=tokens), steps)
    table = measured.summary()
    errors = [float(f"{error:.4g}") for error in measured.layer_errors] if layers else []
    if as_json:
        click.echo(json.dumps(table | ({"layer errors": errors} if layers else {})))
        return
    for name, value in table.items():
        click.echo(f"{name:16} {value}")
    for layer, error in enumerate(errors):
        bar = "#" * round(_BAR_COLUMNS * error / (max(errors) or 1.0))
        click.echo(f"layer {layer:<3} {error:<10} {bar}")
