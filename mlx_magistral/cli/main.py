"""The ``mlx-magistral`` command: a table of subcommands, and errors turned into one line each.

A subcommand's module is imported when it is called, so ``--help`` starts in the time of click
alone. Exit codes: 0 done, 1 failure, 2 usage, 130 interrupted.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

import click

from mlx_magistral.cli.streams import drop_stdout, fill_closed_streams, stdout_problem
from mlx_magistral.errors import MagistralError
from mlx_magistral.settings import option_defaults
from mlx_magistral.version import __version__

# Name -> one line of help. The module is cli/commands/<name>.py, with _ for -; its click command,
# `command`.
COMMANDS = {
    "generate": "Answer one prompt and stream the thinking and the answer.",
    "chat": "Hold a conversation on the terminal.",
    "sessions": "List, search, show, export or delete conversations.",
    "fit": "Show which model, context and KV cache fit in memory.",
    "serve": "Serve a model to OpenAI and Anthropic clients.",
    "service": "Run the server in the background, from login on.",
    "connect": "Show the settings that connect a client to a server.",
    "pull": "Download a model, or see which one suits this machine.",
    "list": "List the models on this disk.",
    "show": "Show what a model is, where it came from and what it needs.",
    "use": "Set the default model.",
    "rm": "Delete a model from this disk.",
    "push": "Upload a converted folder to the hub.",
    "config": "List or set the defaults of flags.",
    "doctor": "Check this machine, the packages and the models.",
    "selftest": "Check what this machine computes, for a report.",
    "completion": "Print the Tab completion script of a shell.",
    "batch": "Answer a file of requests into a file of replies.",
    "eval": "Measure what a model can do, with error bars; compare two.",
    "bench": "Measure how fast a model runs here.",
    "cluster": "Check several Macs before a model runs on them.",
    "cache": "List or clear what is kept of earlier prompts.",
    "convert": "Quantize a checkpoint to an MLX folder.",
    "train": "Train an adapter for a model from chats.",
    "train-drafter": "Train a head that guesses ahead for a model.",
    "fuse": "Work an adapter into a model's weights.",
    "verify": "Check a converted folder against its manifest.",
    "compare": "Measure how far two models are apart on the same text.",
}

# What other programs call a command.
_OTHER_NAMES = {
    **dict.fromkeys(("run", "gen", "ask", "complete", "prompt", "answer"), "generate"),
    **dict.fromkeys(("download", "get", "install", "fetch"), "pull"),
    **dict.fromkeys(("ls", "models", "ps"), "list"),
    **dict.fromkeys(("delete", "remove", "uninstall"), "rm"),
    **dict.fromkeys(("server", "start", "api", "web", "ui"), "serve"),
    **dict.fromkeys(("info", "inspect", "describe"), "show"),
    **dict.fromkeys(("quantize", "quantise", "create"), "convert"),
    **dict.fromkeys(("benchmark", "perf", "speed"), "bench"),
    **dict.fromkeys(("evaluate", "lm-eval"), "eval"),
    **dict.fromkeys(("finetune", "fine-tune", "lora"), "train"),
    **dict.fromkeys(("merge",), "fuse"),
    **dict.fromkeys(("upload", "publish"), "push"),
    **dict.fromkeys(("settings", "set", "defaults"), "config"),
    **dict.fromkeys(("repl", "interactive", "talk"), "chat"),
    **dict.fromkeys(("status", "check", "diagnose"), "doctor"),
    **dict.fromkeys(("memory", "plan", "size"), "fit"),
    **dict.fromkeys(("history", "log", "logs"), "sessions"),
}

# Commands whose flags the settings file fills in.
_WITH_DEFAULTS = ("generate", "chat", "serve")

INTERRUPTED = 130


class LazyGroup(click.Group):
    """Finds subcommands in COMMANDS and ends every error with one line and its exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command = import_module(f"mlx_magistral.cli.commands.{name.replace('-', '_')}").command
        assert isinstance(command, click.Command)
        if name in _WITH_DEFAULTS and not ctx.resilient_parsing:
            ctx.default_map = {**(ctx.default_map or {}), name: option_defaults()}
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(_not_a_command(args))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> NoReturn:
        """Run the command line; a subcommand may return its exit code."""
        is_debug = "--debug" in (sys.argv if args is None else args)
        extra["standalone_mode"] = False
        fill_closed_streams()
        try:
            code = super().main(args, *rest, **extra)
        except click.Abort:
            code = INTERRUPTED
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            code = error.exit_code
        except click.UsageError as error:
            code = _fail(_usage_message(error), error.exit_code)
        except click.ClickException as error:
            code = _fail(error.format_message(), error.exit_code)
        except MagistralError as error:
            if is_debug:
                raise
            code = _fail(str(error), error.exit_code)
        except ImportError as error:
            if is_debug:
                raise
            from mlx_magistral.doctor import import_problem

            code = _fail(import_problem(error), 1)
        except RuntimeError as error:
            from mlx_magistral.doctor import mlx_problem

            problem = mlx_problem(error)
            if is_debug or problem is None:
                raise
            code = _fail(problem, 1)
        except OSError as error:
            problem = stdout_problem(error)
            if is_debug and problem is None:
                raise
            if problem is not None:
                drop_stdout()
            # Of a terminal that is gone nobody reads a line, either.
            with suppress(OSError):
                _fail(problem or f"{error.filename or 'A file'}: {error.strerror or error}.", 1)
            code = 1
        sys.exit(code if isinstance(code, int) else 0)


def _not_a_command(args: Sequence[str]) -> str:
    """What was perhaps meant: a command by another name, one misspelt, or a question."""
    words = [each for each in args if not each.startswith("-")]
    first = args[0].strip()
    is_question = " " in first or (len(words) > 2 and words[-1].endswith("?"))
    known = _OTHER_NAMES.get(first) or next(iter(get_close_matches(first, COMMANDS, 1)), None)
    if is_question and first not in _OTHER_NAMES:
        from mlx_magistral.cli.prompt_text import quoted_command

        return f"To ask that: {quoted_command([first] if ' ' in first else words)}"
    hint = f" Did you mean '{known}'?" if known else ""
    return f"There is no command '{args[0]}'.{hint}"


def _usage_message(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx is not None else "mlx-magistral"
    return f"{error.format_message()} See '{path} --help'."


def _fail(message: str, exit_code: int) -> int:
    click.echo(f"error: {message}", err=True)
    return exit_code


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mlx-magistral")
def main() -> None:
    """Run, convert and script Mistral's reasoning model on a Mac.

    \b
      mlx-magistral generate "What is 37 + 48?"
      mlx-magistral convert mistralai/Magistral-Small-2507 magistral-4bit --bits 4
      git diff | mlx-magistral generate -m magistral-4bit "Write a commit message"

    The model is --model, else MLX_MAGISTRAL_MODEL, else the one set by `use`, else nano: a tiny
    model inside this package.

    \b
    Environment:
      MLX_MAGISTRAL_MODEL   the model when no --model is given
      MLX_MAGISTRAL_CONFIG  the settings file (see config --help)
      MLX_MAGISTRAL_CACHE   the folder of kept prompts (see cache --help)
      MLX_MAGISTRAL_DATA    the folder of conversations (see sessions --help)
      MLX_MAGISTRAL_API_KEY the server's key (see serve --help)
      HF_HOME, HF_TOKEN, HF_HUB_OFFLINE, HF_ENDPOINT   read by the hub's client
      NO_COLOR              no colours; TERM=dumb: no line that is drawn again

    --quiet, --verbose and --json mean the same wherever they are; --debug shows tracebacks.
    """
