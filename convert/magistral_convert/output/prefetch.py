"""Work on the next items in threads while this one is being used."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def work_ahead(
    items: Iterable[Item], work: Callable[[Item], Result], threads: int = 1
) -> Iterator[tuple[Item, Result]]:
    """Yield each item with ``work(item)``, in order, at most ``threads + 1`` of them ahead.

    One being worked on a thread and one waiting hide the work, in a fixed memory. What ``work``
    raises is raised here, at the item it concerns. ``items`` are drawn in the calling thread.
    """
    pending: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="work-ahead") as pool:
        for item in items:
            pending.append((item, pool.submit(work, item)))
            if len(pending) > threads + 1:
                first, result = pending.popleft()
                yield first, result.result()
        while pending:
            first, result = pending.popleft()
            yield first, result.result()
