"""``mlx-magistral doctor``: what is right and wrong with this machine, a line each."""

import click

from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.options import debug_option

# Where the text begins beside ok, warn or fail.
_HANGING = 6


@click.command()
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@click.option("--quiet", "-q", is_flag=True, help="Only what is not ok.")
@debug_option
def command(as_json: bool, quiet: bool) -> int:
    """Check machine, packages, memory, disk, settings, tokenizer and models; exit 1 on a fail.

    Models are checked by their headers and sizes; `mlx-magistral verify` hashes every byte.

    \b
      mlx-magistral doctor
      mlx-magistral doctor --json
    """
    from mlx_magistral.doctor import FAIL, OK, run_checks

    checks = run_checks()
    if as_json:
        echo_json({"checks": [check._asdict() for check in checks]})
    else:
        for check in checks:
            if not quiet or check.state != OK:
                echo(f"{check.state:5} {check.name}: {check.found}", _HANGING)
                if check.advice:
                    echo(f"{'':{_HANGING}}{check.advice}", _HANGING)
    return 1 if any(check.state == FAIL for check in checks) else 0
