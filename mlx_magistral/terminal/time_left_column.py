"""TimeLeftColumn: the time left beside a bar of rich's, whose own goes by the last seconds."""

from rich.progress import ProgressColumn, Task
from rich.table import Column
from rich.text import Text

from mlx_magistral.terminal.times import TimeLeft, duration


class TimeLeftColumn(ProgressColumn):
    """``12:05 left``, as TimeLeft has it; empty where it has none."""

    def __init__(self, left: TimeLeft) -> None:
        super().__init__(table_column=Column(no_wrap=True))
        self._left = left

    def render(self, task: Task) -> Text:
        if task.total is None or task.finished:
            return Text()
        seconds = self._left.seconds(task.get_time(), task.completed, task.total)
        return Text() if seconds is None else Text(f"{duration(seconds)} left")
