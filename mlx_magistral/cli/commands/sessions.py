"""``mlx-magistral sessions``: conversations on file, listed, searched, shown, exported, deleted."""

import sys
from pathlib import Path

import click

from mlx_magistral.chat.sessions import SessionStore, SessionSummary
from mlx_magistral.cli.layout import echo, echo_json
from mlx_magistral.cli.options import debug_option
from mlx_magistral.cli.session_options import complete_session
from mlx_magistral.errors import MagistralError, SessionError, UsageError

_json_option = click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
_name_argument = click.argument("name", shell_complete=complete_session)


@click.group(invoke_without_command=True)
@debug_option
@click.pass_context
def command(context: click.Context) -> None:
    """List, search, show, export or delete conversations; without a command, list them.

    NAME may be a part that only one name has; rm wants the whole one. `mlx-magistral chat --session
    NAME` goes on with a conversation.

    \b
      mlx-magistral sessions
      mlx-magistral sessions search prime
      mlx-magistral sessions show thesis
      mlx-magistral sessions export thesis thesis.html
      mlx-magistral sessions rm thesis
    """
    if context.invoked_subcommand is None:
        context.invoke(list_sessions, as_json=False)


@command.command("list")
@_json_option
@debug_option
def list_sessions(as_json: bool) -> None:
    """List all, the one written to last first."""
    found = list(SessionStore().search())
    if not found and not as_json:
        click.echo("There is no session yet. mlx-magistral chat begins one.", err=True)
    _print(found, as_json)


@command.command()
@click.argument("words", metavar="TEXT", nargs=-1, required=True)
@_json_option
@debug_option
def search(words: tuple[str, ...], as_json: bool) -> None:
    """List those whose name, questions or answers hold every word of TEXT, in any case."""
    text = " ".join(words)
    found = list(SessionStore().search(text))
    if not found and not as_json:
        raise SessionError(f"No session holds {text!r}. See `mlx-magistral sessions`.")
    _print(found, as_json)


@command.command()
@_name_argument
@_json_option
@debug_option
def show(name: str, as_json: bool) -> None:
    """Print a conversation with its thinking, as Markdown."""
    from mlx_magistral.chat.export import exchanges, session_document
    from mlx_magistral.terminal.saving import as_markdown

    store = SessionStore()
    content = store.read(store.find(name))
    if as_json:
        echo_json(session_document(content))
    else:
        click.echo(as_markdown(exchanges(content)), nl=False)


@command.command()
@_name_argument
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Write over FILE where it exists.")
@debug_option
def export(name: str, file: Path | None, force: bool) -> None:
    """Write a conversation to FILE: .md, .html or .json.  [default: NAME.md here]"""
    from mlx_magistral.chat.export import export_session

    store = SessionStore()
    content = store.read(store.find(name))
    target = file or Path(f"{content.id}.md")
    if target.exists() and not force:
        raise UsageError(f"{target} exists already. Name another file, or add --force.")
    export_session(content, target)
    click.echo(target)


@command.command()
@_name_argument
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@debug_option
def rm(name: str, yes: bool) -> int:
    """Delete the conversation NAME for good, and the prefixes that only it uses; asks first."""
    from mlx_magistral.chat.forgetting import entries_of
    from mlx_magistral.memory.prefixes.disk import PrefixDisk, default_folder

    store = SessionStore()
    if not store.exists(name):
        raise SessionError(f"There is no session {name!r}. See `mlx-magistral sessions`.")
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"Deleting {name} needs a yes. Add --yes.")
        title = store.read(name).title
        if not click.confirm(f"Delete {name} ({title!r})?", err=True):
            return 1
    disk = PrefixDisk(default_folder())
    remains = ""
    try:
        entries = entries_of(store, name, disk)
    except MagistralError as error:
        entries = []
        remains = f"What was computed for it stays until `mlx-magistral cache clear`: {error}"
    store.delete(name)
    freed = disk.remove(entries)
    with_it = f", and {freed / 1e6:.1f} MB that were computed for it" if entries else ""
    click.echo(f"Deleted {name}{with_it}.")
    if remains:
        click.echo(remains, err=True)
    return 0


def _print(found: list[SessionSummary], as_json: bool) -> None:
    from mlx_magistral.chat.history import shortened, summary_line

    if as_json:
        rows = [
            {
                "name": each.id,
                "title": each.title,
                "turns": each.turns,
                "used": each.used,
                "model": each.model,
            }
            for each in found
        ]
        echo_json({"sessions": rows})
        return
    for each in found:
        echo(f"{summary_line(each)}  {shortened(each.title)}", 2)
