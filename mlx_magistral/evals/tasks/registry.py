"""Tasks by name, and the nearest name where there is none."""

from difflib import get_close_matches
from pathlib import Path

from mlx_magistral.errors import UsageError
from mlx_magistral.evals.tasks.local import NANO_TASK, file_task, nano_task
from mlx_magistral.evals.tasks.problem import Task

TASKS = (NANO_TASK,)


def find_tasks(names: tuple[str, ...]) -> list[Task]:
    """Each named task: one of TASKS or a file of JSON lines.

    Raises UsageError for a name that is neither, or given twice.
    """
    for name in names:
        if name not in TASKS and not name.endswith(".jsonl"):
            close = get_close_matches(name, TASKS, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise UsageError(
                f"There is no task {name}.{hint} Tasks are {', '.join(TASKS)} and files named "
                "*.jsonl."
            )
    tasks = [nano_task() if name == NANO_TASK else file_task(Path(name)) for name in names]
    found = [task.name for task in tasks]
    for name in found:
        if found.count(name) > 1:
            raise UsageError(f"Two tasks are called {name}. Name each once.")
    return tasks
