"""Service: the command that runs, its environment and its log. What a unit is made from."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import click
from click.core import ParameterSource

from mlx_magistral.cli.addresses import is_loopback
from mlx_magistral.errors import UsageError

# Folders that a service must find where this shell does. Keys are none of them.
_KEPT_VARIABLES = (
    "HF_HOME",
    "HF_ENDPOINT",
    "MLX_MAGISTRAL_CONFIG",
    "MLX_MAGISTRAL_CACHE",
    "MLX_MAGISTRAL_DATA",
)
_FOLDERS = ("HF_HOME", "MLX_MAGISTRAL_CONFIG", "MLX_MAGISTRAL_CACHE", "MLX_MAGISTRAL_DATA")
# Of serve's: it belongs to a person at a screen, or would show a key in the list of processes.
_REFUSED = {
    "is_opened": "--open opens a browser, and a service has none. Leave it out.",
    "api_key": "--api-key would show the key in the list of processes. Set MLX_MAGISTRAL_API_KEY "
    "instead: the service reads it from a file that only you can read.",
}


@dataclass(frozen=True)
class Service:
    """What is run, whole paths throughout."""

    arguments: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    folder: Path
    log: Path
    host: str
    port: int

    @property
    def url(self) -> str:
        """Where it answers on this machine."""
        host = self.host if self.host not in ("0.0.0.0", "::") else "127.0.0.1"
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def make_service(given: list[str], log: Path, key_file: Path | None) -> Service:
    """The service of ``serve`` with these arguments of a command line.

    Only what was typed is repeated: settings are read anew by each start. Raises UsageError for
    what serve would refuse or a service cannot have, ModelNotFoundError and HubError for a model
    that is not on this disk.
    """
    from mlx_magistral.cli.commands.serve import command as serve
    from mlx_magistral.hub.resolve import default_model, named_folder, require_local

    with serve.make_context("serve", [*given]) as context:
        model = context.params["model"] or default_model()
        require_local(model)
        flags = _flags(context)
        host, port = context.params["host"], context.params["port"]
        if not is_loopback(host) and key_file is None and not context.params["no_key"]:
            raise UsageError(
                f"--host {host} is open to others: set MLX_MAGISTRAL_API_KEY, or say --no-key."
            )
    if port == 0:
        raise UsageError("--port 0 is another port at each start. Name one.")
    folder = named_folder(model)
    arguments = [sys.executable, "-m", "mlx_magistral", "serve"]
    arguments += [model if folder is None else str(folder.resolve()), *flags]
    if key_file is not None:
        arguments += ["--api-key-file", str(key_file)]
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if os.environ.get(name)}
    environment = tuple(
        (name, str(Path(value).expanduser().absolute()) if name in _FOLDERS else value)
        for name, value in kept.items()
    )
    return Service(tuple(arguments), environment, Path.home(), log, host, port)


def _flags(context: click.Context) -> list[str]:
    """The options that were typed, paths made whole, in the order of ``serve --help``."""
    flags: list[str] = []
    for parameter in context.command.params:
        name = parameter.name
        assert name is not None
        is_typed = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not is_typed or not isinstance(parameter, click.Option):
            continue
        if name in _REFUSED:
            raise UsageError(_REFUSED[name])
        value = context.params[name]
        for each in value if parameter.multiple else (value,):
            flags += _flag(parameter, each)
    return flags


def _flag(option: click.Option, value: object) -> list[str]:
    long = max(option.opts, key=len)
    if option.is_flag:
        return [long if value else max(option.secondary_opts, key=len)]
    from mlx_magistral.hub.resolve import named_folder

    is_path = isinstance(option.type, click.Path)
    if is_path:
        return [long, str(Path(str(value)).expanduser().resolve())]
    if option.name == "draft" and (folder := named_folder(str(value))) is not None:
        return [long, str(folder.resolve())]
    return [long, str(value)]
