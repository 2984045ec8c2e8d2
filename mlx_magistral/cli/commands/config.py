"""``mlx-magistral config``: what commands take when a flag is not given."""

import json
from typing import TYPE_CHECKING

import click

from mlx_magistral.cli.layout import echo_fact, echo_json
from mlx_magistral.cli.options import debug_option
from mlx_magistral.errors import UsageError
from mlx_magistral.settings import (
    SETTINGS,
    change_setting,
    config_file,
    parse_value,
    read_settings,
)

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_ARGUMENTS = {"list": 0, "path": 0, "get": 1, "unset": 1, "set": 2}


def _complete(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list["CompletionItem"]:
    """A key, then a value where there are few."""
    from click.shell_completion import CompletionItem

    if _ARGUMENTS.get(context.params["action"], 0) == 0:
        return []
    given = context.params["arguments"] or ()
    words = SETTINGS if not given else map(str, SETTINGS[given[0]].choices)
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


@click.command()
@click.argument("action", type=click.Choice(list(_ARGUMENTS)), default="list")
@click.argument("arguments", nargs=-1, metavar="[KEY [VALUE]]", shell_complete=_complete)
@click.option("as_json", "--json", is_flag=True, help="Print one JSON object.")
@debug_option
def command(action: str, arguments: tuple[str, ...], as_json: bool) -> None:
    """List, get, set or unset a default; path prints where they are kept.

    A flag wins over an environment variable, and that over this file. The keys are model,
    temperature, top_p, seed, max_tokens, think, think_budget, kv_bits, context, reuse_prefixes,
    system and render.

    \b
      mlx-magistral config
      mlx-magistral config set temperature 0.5
      mlx-magistral config set think short
      mlx-magistral config get think
      mlx-magistral config unset temperature
      mlx-magistral config path
    """
    if len(arguments) != _ARGUMENTS[action]:
        needed = ("nothing more", "a KEY", "a KEY and a VALUE")[_ARGUMENTS[action]]
        raise UsageError(f"config {action} takes {needed}. See 'mlx-magistral config --help'.")
    if action == "path":
        path = str(config_file())
        if as_json:
            echo_json({"path": path})
        else:
            click.echo(path)
    elif action == "list":
        _list(as_json)
    elif action == "get":
        _get(arguments[0], as_json)
    elif action == "unset":
        change_setting(arguments[0], None)
    else:
        key, text = arguments
        change_setting(key, parse_value(key, text))


def _list(as_json: bool) -> None:
    values = read_settings()
    if as_json:
        echo_json({"path": str(config_file()), "settings": values})
        return
    for key, setting in SETTINGS.items():
        value = values.get(key)
        shown = "-" if value is None else json.dumps(value, ensure_ascii=False)
        echo_fact(key, f"{shown:12} {setting.help}", 15)


def _get(key: str, as_json: bool) -> None:
    if key not in SETTINGS:
        raise UsageError(f"There is no setting {key}. Known are {', '.join(SETTINGS)}.")
    value = read_settings().get(key)
    if as_json:
        echo_json({key: value})
    elif value is not None:
        click.echo(value if isinstance(value, str) else json.dumps(value))
