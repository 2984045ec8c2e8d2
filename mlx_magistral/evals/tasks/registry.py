"""Tasks by name, and the nearest name where there is none."""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from mlx_magistral.errors import UsageError
from mlx_magistral.evals.tasks.local import NANO_TASK, file_task, nano_task
from mlx_magistral.evals.tasks.problem import Task
from mlx_magistral.evals.tasks.public import PUBLIC, DataOptions, public_task

TASKS = (*PUBLIC, NANO_TASK)


def find_tasks(names: Sequence[str], options: DataOptions) -> list[Task]:
    """Each named task: one of TASKS, NAME@REVISION of a public one, or a file of JSON lines.

    Raises UsageError for a name that is neither, or given twice, and where ``options.paths`` could
    be of several tasks; HubError or RunError where the data cannot be had or read.
    """
    for name in names:
        bare = name.partition("@")[0]
        if bare not in TASKS and not name.endswith(".jsonl"):
            close = get_close_matches(bare, TASKS, 1, 0.5)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise UsageError(
                f"There is no task {name}.{hint} Tasks are {', '.join(TASKS)} and files named "
                "*.jsonl."
            )
    if options.paths and (len(names) != 1 or names[0].partition("@")[0] not in PUBLIC):
        raise UsageError(f"--data is for one task of {', '.join(PUBLIC)} alone.")
    tasks = [_task(name, options) for name in names]
    found = [task.name for task in tasks]
    for name in found:
        if found.count(name) > 1:
            raise UsageError(f"Two tasks are called {name}. Name each once.")
    return tasks


def _task(name: str, options: DataOptions) -> Task:
    if name == NANO_TASK:
        return nano_task()
    if name.endswith(".jsonl"):
        return file_task(Path(name))
    bare, _, revision = name.partition("@")
    return public_task(bare, replace(options, revision=revision or None))
