"""``mlx-magistral verify``: is a converted folder still what was written?"""

from dataclasses import asdict

import click

from mlx_magistral.cli.layout import echo_json
from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.options import debug_option, output_options, refuse_both


@click.command()
@click.argument("model", shell_complete=complete_model)
@click.option(
    "--source",
    shell_complete=complete_model,
    help="Also measure every tensor against this checkpoint again.",
)
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@output_options
@debug_option
def command(model: str, source: str | None, as_json: bool, is_quiet: bool, is_verbose: bool) -> int:
    """Hash every file of MODEL against its conversion.json; exit 1 when something differs.

    \b
      mlx-magistral verify magistral-4bit
      mlx-magistral verify magistral-4bit --source mistralai/Magistral-Small-2507
    """
    from magistral_convert.display import ConversionDisplay
    from magistral_convert.output.verify import verify_folder, verify_source
    from magistral_convert.sources.kinds import resolve_source
    from mlx_magistral.cli.fetching import fetch_source
    from mlx_magistral.hub.resolve import require_local

    refuse_both(is_quiet=is_quiet, is_verbose=is_verbose)
    folder = require_local(model)
    is_quiet = is_quiet or as_json
    with ConversionDisplay(is_quiet=is_quiet, is_verbose=is_verbose) as display:
        findings = verify_folder(folder, display)
    if source is not None and not findings:
        fetch_source(source, is_shown=not is_quiet)
        with ConversionDisplay(is_quiet=is_quiet, is_verbose=is_verbose) as display:
            findings = verify_source(folder, resolve_source(source), display)
    if as_json:
        found = [asdict(finding) for finding in findings]
        echo_json({"folder": str(folder), "is_whole": not found, "findings": found})
        return 1 if findings else 0
    for finding in findings:
        click.echo(f"{finding.place}: {finding.problem}", err=True)
    if not findings and not is_quiet:
        click.echo(f"{folder}: every file is as it was written.")
    return 1 if findings else 0
