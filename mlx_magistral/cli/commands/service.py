"""``mlx-magistral service``: the server as a launchd agent or a systemd user unit."""

import os
import subprocess
from urllib.error import URLError
from urllib.request import urlopen

import click

from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.options import debug_option
from mlx_magistral.errors import MagistralError

_KEY_VARIABLE = "MLX_MAGISTRAL_API_KEY"
_HEALTH_S = 2.0


@click.group(invoke_without_command=True)
@debug_option
@click.pass_context
def command(context: click.Context) -> None:
    """Run the server in the background, from login on; without a command, say its status.

    A launchd agent on a Mac, a systemd user unit on Linux.

    \b
      mlx-magistral service install magistral-4bit --idle-unload 900
      mlx-magistral service install --dry-run
      mlx-magistral service status
      mlx-magistral service logs --follow
      mlx-magistral service uninstall
    """
    if context.invoked_subcommand is None:
        context.exit(context.invoke(status, as_json=False))


@command.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[MODEL] [SERVE OPTIONS]")
@click.option("--dry-run", is_flag=True, help="Print what would be written and run.")
@debug_option
def install(arguments: tuple[str, ...], dry_run: bool) -> None:
    """Start `serve` with these arguments, now and at every login.

    All options of `serve` are taken but --open and --api-key. A key in MLX_MAGISTRAL_API_KEY is
    written to a file that only you can read, and is in no argument and no unit. One service a user:
    installing again replaces it.
    """
    from mlx_magistral.cli.service.definition import make_service
    from mlx_magistral.cli.service.installing import install as write
    from mlx_magistral.cli.service.installing import key_file, this_supervisor

    supervisor, key = this_supervisor(), os.environ.get(_KEY_VARIABLE) or None
    service = make_service([*arguments], supervisor.log, key_file() if key else None)
    if not dry_run:
        write(supervisor, service, key)
        echo(f"{supervisor.name}: {supervisor.unit}")
        echo(f"Chat page and API: {service.url}. {supervisor.note}")
        return
    click.echo(f"# {supervisor.unit}")
    click.echo(supervisor.unit_text(service))
    if key:
        click.echo(f"# {key_file()}: the key, readable by you alone\n")
    for line in supervisor.start_commands():
        click.echo(f"$ {' '.join(line)}")


@command.command()
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@debug_option
def status(as_json: bool) -> int:
    """Say whether it is installed, runs and answers; exit 1 unless it answers."""
    from mlx_magistral.cli.service.installing import installed, is_running, this_supervisor

    supervisor, service = this_supervisor(), installed()
    if service is None:
        if as_json:
            echo_json({"is_installed": False, "is_running": False, "answers": False})
        else:
            echo("Not installed. To install it: mlx-magistral service install")
        return 1
    runs, answers = is_running(supervisor), _answers(service.url)
    if as_json:
        facts = {"is_installed": True, "is_running": runs, "answers": answers}
        echo_json({**facts, "url": service.url, "unit": str(supervisor.unit)})
        return 0 if answers else 1
    state = "runs" if runs else "does not run"
    reached = "answers" if answers else "does not answer (yet: a large model takes time to load)"
    echo(f"{supervisor.name} {supervisor.unit}: {state}; {service.url} {reached}.")
    if not answers:
        echo("What it said: mlx-magistral service logs")
    return 0 if answers else 1


@command.command()
@click.option("--lines", "-n", type=click.IntRange(1), default=50, show_default=True)
@click.option("--follow", "-f", is_flag=True, help="Go on as lines come; Ctrl-C ends it.")
@debug_option
def logs(lines: int, follow: bool) -> int:
    """Show what the server has said."""
    from mlx_magistral.cli.service.installing import installed, this_supervisor

    if installed() is None:
        raise MagistralError("Nothing is installed: mlx-magistral service install")
    shown = this_supervisor().logs_command(lines, follows=follow)
    try:
        return subprocess.run(shown, check=False).returncode
    except FileNotFoundError as error:
        raise MagistralError(f"There is no {shown[0]} on this machine.") from error


@command.command()
@click.option("--dry-run", is_flag=True, help="Print what would be run and deleted.")
@debug_option
def uninstall(dry_run: bool) -> None:
    """Stop it and delete its unit and key; the log and the models stay."""
    from mlx_magistral.cli.service.installing import installed, key_file, this_supervisor
    from mlx_magistral.cli.service.installing import uninstall as remove

    supervisor = this_supervisor()
    if dry_run:
        for line in supervisor.stop_commands():
            click.echo(f"$ {' '.join(line)}")
        for path in (supervisor.unit, key_file()):
            if path.exists():
                click.echo(f"delete {path}")
        return
    was_installed = installed() is not None or supervisor.unit.exists()
    if not was_installed:
        raise MagistralError("Nothing is installed: mlx-magistral service install")
    remove(supervisor)
    echo(f"Removed {supervisor.unit}.")


def _answers(url: str) -> bool:
    try:
        with urlopen(f"{url}/health", timeout=_HEALTH_S) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False
