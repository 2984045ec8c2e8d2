"""DrafterWatcher: what a training of a head tells of itself, beside its steps."""

from mlx_magistral.train.watcher import Watcher


class DrafterWatcher(Watcher):
    """Hears nothing; subclasses override what they want to know."""

    def replied(self, replies: int, prompts: int, tokens: int) -> None:
        """So many of the prompts are answered, in so many ids."""

    def problem(self, line: str) -> None:
        """A prompt brought no reply."""

    def begins(self, step: int, steps: int) -> None:
        """The replies are there; so many of the steps are done already."""
