"""RunProgress: how far a run of many replies is, on stderr."""

from mlx_magistral.cli.layout import echo
from mlx_magistral.cli.steps import Steps
from mlx_magistral.evals.tally import Tally
from mlx_magistral.terminal.times import duration


class RunProgress(Steps):
    """One live line on a terminal; where verbose, a line each time that a reply is finished."""

    def __init__(self, *, is_quiet: bool, is_verbose: bool) -> None:
        super().__init__(is_quiet=is_quiet, is_verbose=is_verbose)
        self.is_quiet = is_quiet
        self._done = -1

    def update(self, tally: Tally) -> None:
        """Show how it stands."""
        if self._is_verbose and tally.done == self._done:
            return
        self._done = tally.done
        self.started(tally.line())

    def note(self, text: str) -> None:
        """A line that stays."""
        if not self.is_quiet:
            self._wipe()
            echo(text, err=True)

    def finish(self, tally: Tally) -> None:
        """What this run came to."""
        self.note(
            f"{tally.made:,} replies in {duration(tally.seconds)}: "
            f"{tally.made / max(tally.seconds, 1e-9):.2f} a second, "
            f"{tally.tokens_per_s:,.0f} tok/s."
        )
