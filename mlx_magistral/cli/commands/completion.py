"""``mlx-magistral completion``: Tab in bash, zsh and fish, model names included."""

import click

from mlx_magistral.cli.options import debug_option

_INSTALL = {
    "bash": 'add to ~/.bashrc:  eval "$(mlx-magistral completion bash)"',
    "zsh": (
        "add to ~/.zshrc:  autoload -Uz compinit && compinit; "
        'eval "$(mlx-magistral completion zsh)"'
    ),
    "fish": "run:  mlx-magistral completion fish > ~/.config/fish/completions/mlx-magistral.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@debug_option
def command(shell: str) -> None:
    """Print the script that lets Tab complete commands, options, models and sessions in SHELL.

    To install it, add one line to the file that your shell reads at its start, and open a new
    window. zsh is the shell of a Mac:

    \b
      zsh   ~/.zshrc:   autoload -Uz compinit && compinit; eval "$(mlx-magistral completion zsh)"
      bash  ~/.bashrc:  eval "$(mlx-magistral completion bash)"
      fish  run:  mlx-magistral completion fish > ~/.config/fish/completions/mlx-magistral.fish

    It needs bash 4.4 or newer; the bash that comes with a Mac is older.
    """
    from click.shell_completion import get_completion_class

    from mlx_magistral.cli.main import main

    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    script = kind(main, {}, "mlx-magistral", "_MLX_MAGISTRAL_COMPLETE").source()
    click.echo(f"# To install, {_INSTALL[shell]}\n{script}")
