"""Lengths of time as a person reads them."""


def duration(seconds: float) -> str:
    """0:27, 12:05, 3:40:00 or 2 days 3:40:00."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if not hours:
        return f"{minute}:{second:02}"
    clock = f"{hour}:{minute:02}:{second:02}"
    return f"{days} day{'s' * (days != 1)} {clock}" if days else clock


def elapsed(seconds: float) -> str:
    """12 s, and from a minute on 1:23."""
    return f"{seconds:.0f} s" if round(seconds) < 60 else duration(seconds)


class TimeLeft:
    """How long the rest will take at the pace so far: the time passed over what was done in it.

    What was done before the first report, by an earlier run perhaps, is no part of the pace.
    """

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def seconds(self, now: float, done: float, total: float) -> float | None:
        """None before anything was done since the first report."""
        if self._first is None:
            self._first = now, done
        since, before = self._first
        return (now - since) / (done - before) * (total - done) if done > before else None
