"""Watcher: what a training tells of itself; the command line draws it."""

from mlx_magistral.train.history import History, StepRecord, ValidRecord


class Watcher:
    """Hears nothing; subclasses override what they want to know."""

    def resumed(self, step: int) -> None:
        """An earlier run had come so far."""

    def stepped(self, record: StepRecord, history: History) -> None:
        """A step is done."""

    def validated(self, record: ValidRecord, history: History) -> None:
        """The held-out examples were measured."""

    def saved(self, step: int) -> None:
        """The state is on the disk: a kill costs what comes after this step."""
