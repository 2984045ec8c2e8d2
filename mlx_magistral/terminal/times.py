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

    What was done before the first report, by an earlier run perhaps, is no part of the pace. There
    is none before ``after_s`` have passed and ``after_share`` of the whole was done in them.
    """

    def __init__(self, after_s: float = 0.0, after_share: float = 0.0) -> None:
        self._after_s = after_s
        self._after_share = after_share
        self._first: tuple[float, float] | None = None

    def begin_again(self) -> None:
        """The next report is the first: other work follows, at another pace."""
        self._first = None

    def seconds(self, now: float, done: float, total: float) -> float | None:
        """None where nothing can be said yet."""
        if self._first is None or done < self._first[1]:
            self._first = now, done
        since, before = self._first
        is_early = now - since < self._after_s or done - before < self._after_share * total
        if is_early or done <= before:
            return None
        return (now - since) / (done - before) * (total - done)
