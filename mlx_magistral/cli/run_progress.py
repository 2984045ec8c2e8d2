"""RunProgress: how far a run of many replies is, on stderr."""

from mlx_magistral.cli.layout import echo
from mlx_magistral.cli.steps import Steps
from mlx_magistral.evals.progress import Progress, duration


class RunProgress(Steps):
    """One live line on a terminal; where verbose, a line each time that a reply is finished."""

    def __init__(self, *, is_quiet: bool, is_verbose: bool) -> None:
        super().__init__(is_quiet=is_quiet, is_verbose=is_verbose)
        self._is_quiet = is_quiet
        self._done = -1

    def update(self, progress: Progress) -> None:
        """Show how it stands."""
        if self._is_verbose and progress.done == self._done:
            return
        self._done = progress.done
        self.started(progress.line())

    def note(self, text: str) -> None:
        """A line that stays."""
        if not self._is_quiet:
            self._wipe()
            echo(text, err=True)

    def finish(self, progress: Progress) -> None:
        """What this run came to."""
        self.note(
            f"{progress.made:,} replies in {duration(progress.seconds)}: "
            f"{progress.made / max(progress.seconds, 1e-9):.2f} a second, "
            f"{progress.tokens_per_s:,.0f} tok/s."
        )
