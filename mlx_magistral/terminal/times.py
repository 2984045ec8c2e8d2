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


class SteppedTimeLeft(TimeLeft):
    """The same for work that may come in steps whose parts say nothing of the pace.

    A layer is calibrated for minutes and its tensors are then written in no time: the first of them
    would count for all. Within a step as much counts as done as the steps before it took that long
    for; one that takes longer adds its wait. ``has_steps`` says that they come: what is done before
    the first is no part of the pace.
    """

    def __init__(self, after_s: float = 0.0, after_share: float = 0.0) -> None:
        super().__init__(after_s, after_share)
        self.has_steps = False
        self._step: tuple[float, float] | None = None
        self._largest = 0.0

    def begin_again(self) -> None:
        super().begin_again()
        self._step = None
        self._largest = 0.0

    def step_begins(self, now: float, done: float) -> None:
        """What was begun before is done; the first step is where the pace is measured from."""
        if self._step is None:
            self._first = now, done
        else:
            self._largest = max(self._largest, done - self._step[1])
        self._step = now, done

    def seconds(self, now: float, done: float, total: float) -> float | None:
        if not self.has_steps:
            return super().seconds(now, done, total)
        if self._step is None or self._first is None:
            return None
        (begun, before), (since, at) = self._first, self._step
        if at <= before or since <= begun:
            return None  # no step has ended
        pace = (at - before) / (since - begun)
        counted = at + min((now - since) * pace, self._largest)
        return super().seconds(now, min(counted, total), total)
