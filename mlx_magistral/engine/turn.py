"""in_turn: what is computed for one thread at a time, whichever asks, on a stream that all share.

MLX gives each thread a stream of its own, which only that thread can evaluate, and a native thread
that outlives it. A reply that several threads take events of in turn, as web frameworks do, needs a
stream that belongs to none of them, which MLX does not lock; and even to enter one is what leaves a
native thread behind. So the main thread computes by itself, and one other for everybody else.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import mlx.core as mx

_Result = TypeVar("_Result")

# Taken again by the same thread where a callback of one reply asks for another.
_LOCK = threading.RLock()
_WORKER_NAME = "mlx-magistral-decode"


def in_turn(work: Callable[[], _Result]) -> _Result:
    """Do some work of MLX's, and return what it returns or raise what it raises.

    Two threads that ask at once wait for each other. What is made is done when this returns, or
    belongs to work that is given here as well.
    """
    asking = threading.current_thread()
    if asking is threading.main_thread() or asking.name.startswith(_WORKER_NAME):
        return _compute(work)
    return _worker().submit(_compute, work).result()


def _compute(work: Callable[[], _Result]) -> _Result:
    with _LOCK, mx.stream(_shared_stream(mx.default_device().type)):
        return work()


@cache
def _worker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix=_WORKER_NAME)


@cache
def _shared_stream(kind: mx.DeviceType) -> mx.Stream:
    return mx.new_thread_unsafe_stream(kind)
