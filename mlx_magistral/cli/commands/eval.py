"""``mlx-magistral eval``: what a model can do, measured; runs shown and held against each other."""

import click

from mlx_magistral.cli.evaluate.compare import compare
from mlx_magistral.cli.evaluate.plot import plot
from mlx_magistral.cli.evaluate.run import run
from mlx_magistral.cli.evaluate.show import show
from mlx_magistral.cli.options import debug_option


class _RunByDefault(click.Group):
    """`eval aime24 ...` is `eval run aime24 ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = (*self.commands, *ctx.help_option_names, "--debug")
        if args and args[0] not in known:
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_RunByDefault)
@debug_option
def command() -> None:
    """Measure what a model can do on a task, with error bars, and compare two models.

    `eval TASK` is short for `eval run TASK`; see `eval run --help`. A run is a folder: the same
    command goes on with it after a kill.

    \b
      mlx-magistral eval nano -m nano --limit 50
      mlx-magistral eval show RUN
      mlx-magistral eval compare RUN_A RUN_B
      mlx-magistral eval plot RUN
    """


command.add_command(run)
command.add_command(show)
command.add_command(compare)
command.add_command(plot)
