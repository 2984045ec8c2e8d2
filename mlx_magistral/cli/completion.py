"""``mlx-magistral completion``: Tab in bash, zsh and fish, model names included."""

import click

from mlx_magistral.cli.options import debug_option

_INSTALL = {
    "bash": 'add to ~/.bashrc:  eval "$(mlx-magistral completion bash)"',
    "zsh": 'add to ~/.zshrc, after compinit:  eval "$(mlx-magistral completion zsh)"',
    "fish": "run:  mlx-magistral completion fish > ~/.config/fish/completions/mlx-magistral.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(_INSTALL)))
@debug_option
def command(shell: str) -> None:
    """Print the completion script of SHELL, with how to install it on its first line.

    \b
      eval "$(mlx-magistral completion bash)"
      mlx-magistral completion zsh
      mlx-magistral completion fish
    """
    from click.shell_completion import get_completion_class

    from mlx_magistral.cli.main import main

    kind = get_completion_class(shell)
    assert kind is not None  # click has all three
    script = kind(main, {}, "mlx-magistral", "_MLX_MAGISTRAL_COMPLETE").source()
    click.echo(f"# To install, {_INSTALL[shell]}\n{script}")
