"""Read the next blocks in a thread while this one is being worked on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Request = TypeVar("Request")
Block = TypeVar("Block")

# One being read, one waiting: enough to hide the disk, and a fixed bound on memory.
_BLOCKS_AHEAD = 2


def read_ahead(
    requests: Iterable[Request], read: Callable[[Request], Block]
) -> Iterator[tuple[Request, Block]]:
    """Yield each request with ``read(request)``, in order, at most two blocks ahead.

    ``read`` runs in one other thread and must not touch mlx, whose streams belong to a thread. What
    it raises is raised here, at the request it concerns.
    """
    pending: deque[tuple[Request, Future[Block]]] = deque()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        for request in requests:
            pending.append((request, reader.submit(read, request)))
            if len(pending) > _BLOCKS_AHEAD:
                first, block = pending.popleft()
                yield first, block.result()
        while pending:
            first, block = pending.popleft()
            yield first, block.result()
