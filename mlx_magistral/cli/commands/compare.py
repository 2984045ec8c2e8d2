"""``mlx-magistral compare``: how far apart two forms of a model are."""

from pathlib import Path

import click

from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option, output_options, refuse_both

# Mean KL in nats a token, at most; docs/converting.md has what bits and recipes come to.
_WORDS = ((1e-6, "the same"), (0.01, "hardly apart"), (0.1, "close"), (0.3, "noticeably apart"))
_CLOSE = 0.1
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("a", shell_complete=complete_model)
@click.argument("b", shell_complete=complete_model)
@click.option(
    "--data",
    type=_FILE,
    help='Text, or JSONL of {"messages"}, {"text"} or {"tokens"}.  [default: a built-in text]',
)
@click.option("--tokens", type=click.IntRange(min=2), default=8192, show_default=True)
@click.option("--tokenizer", type=_FILE, help="A tekken.json instead of the one beside A or B.")
@click.option("--plot", is_flag=True, help="Also the error after each layer, as bars.")
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@output_options
@debug_option
def command(
    a: str,
    b: str,
    data: Path | None,
    tokens: int,
    tokenizer: Path | None,
    plot: bool,
    as_json: bool,
    is_quiet: bool,
    is_verbose: bool,
) -> None:
    """KL(A||B), top-1 agreement and perplexities of models A and B on the same tokens.

    Both stream through layer by layer, so neither has to fit in memory.

    \b
      mlx-magistral compare mistralai/Magistral-Small-2507 magistral-4bit --data traces.jsonl
    """
    from magistral_convert.calibration.text_choice import choose_text
    from magistral_convert.compare import compare_models
    from magistral_convert.display import ConversionDisplay
    from magistral_convert.sources.kinds import resolve_source
    from mlx_magistral.cli.fetching import fetch_source

    refuse_both(is_quiet=is_quiet, is_verbose=is_verbose)
    is_quiet = is_quiet or as_json
    for name in (a, b):
        fetch_source(name, is_shown=not is_quiet)
    one, other = (resolve_source(name) for name in (a, b))
    folders = [side.folder for side in (one, other) if (side.folder / "tekken.json").exists()]
    folder = folders[0] if folders else one.folder
    text = choose_text(folder, data, tokenizer=tokenizer, limit=tokens)
    with ConversionDisplay(is_quiet=is_quiet, is_verbose=is_verbose) as display:
        measured = compare_models(one, other, text.tokens, display, kinds=text.kinds)
    table = measured.summary()
    if as_json:
        errors = [float(f"{error:.4g}") for error in measured.layer_errors]
        echo_json(table | {"layer errors": errors})
        return
    by_kind = table.pop("by kind")
    for name, value in table.items():
        click.echo(f"{name:16} {value}")
    for kind, figures in by_kind.items():
        shown = ", ".join(f"{name} {value}" for name, value in figures.items())
        click.echo(f"{kind:16} {shown}")
    if plot:
        _plot(measured.layer_errors)
    echo(_verdict(measured.kl_mean, measured.top1_agreement, b))


def _verdict(kl: float, agreement: float, b: str) -> str:
    """What the figures come to, and what to do with B."""
    word = next((word for least, word in _WORDS if kl <= least), "far apart")
    told = (
        f"A and B are {word}: the likeliest next token is the same in {agreement:.1%} of the "
        "places."
    )
    if kl <= _CLOSE:
        return f"{told} B may stand for A: mlx-magistral chat -m {b}"
    return f"{told} More bits, or --recipe calibrated, bring them closer: convert --help."


def _plot(errors: tuple[float, ...]) -> None:
    """Relative error of B's hidden states after each layer, over the width of the terminal."""
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table

    table = Table("layer", "error", "", box=None, padding=(0, 1), pad_edge=False, expand=True)
    table.columns[2].ratio = 1
    largest = max(errors)
    for layer, error in enumerate(errors):
        table.add_row(str(layer), f"{error:.4g}", Bar(largest or 1.0, 0, error))
    Console().print(table)
