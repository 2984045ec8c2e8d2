"""in_turn: what is computed for one thread at a time, whichever asks, on a stream that all share.

MLX gives each thread a stream of its own, which only that thread can evaluate, and a native thread
that outlives it. A reply that several threads take events of in turn, as web frameworks do, needs a
stream that belongs to none of them, which MLX does not lock; and even to enter one is what leaves a
native thread behind. So the main thread computes by itself, and one other for everybody else.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import cache
from queue import SimpleQueue
from typing import Any, TypeVar

import mlx.core as mx

_Result = TypeVar("_Result")

# Taken again by the same thread where a callback of one reply asks for another.
_LOCK = threading.RLock()
_STARTING = threading.Lock()
_HOLDING = threading.local()
_WORKER_NAME = "mlx-magistral-decode"


def in_turn(work: Callable[[], _Result]) -> _Result:
    """Do some work of MLX's, and return what it returns or raise what it raises.

    Two threads that ask at once wait for each other. What is made is done when this returns, or
    belongs to work that is given here as well.
    """
    asking = threading.current_thread()
    has_turn = getattr(_HOLDING, "has_turn", False)
    if has_turn or asking is threading.main_thread() or asking.name == _WORKER_NAME:
        return _compute(work)
    return in_turn_later(work).result()


@contextmanager
def own_turn() -> Iterator[None]:
    """Nobody else computes meanwhile: for a thread that computes on streams of its own."""
    with _LOCK:
        _HOLDING.has_turn = True
        try:
            yield
        finally:
            _HOLDING.has_turn = False


def in_turn_later(work: Callable[[], _Result]) -> "Future[_Result]":
    """The same on the thread for everybody, for a caller that does not wait here: an event loop."""
    future: Future[_Result] = Future()
    with _STARTING:
        jobs = _worker_jobs()
    jobs.put((future, work))
    return future


def _compute(work: Callable[[], _Result]) -> _Result:
    with _LOCK, mx.stream(_shared_stream(mx.default_device().type)):
        return work()


@cache
def _worker_jobs() -> "SimpleQueue[tuple[Future[Any], Callable[[], Any]]]":
    """Where the worker takes its work; it is a daemon, so that no exit waits for a long prompt."""
    jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
    threading.Thread(target=_work, args=(jobs,), name=_WORKER_NAME, daemon=True).start()
    return jobs


def _work(jobs: "SimpleQueue[tuple[Future[Any], Callable[[], Any]]]") -> None:
    while True:
        future, work = jobs.get()
        if future.set_running_or_notify_cancel():
            _settle(future, work)
        del future, work  # They may hold a whole KV cache.


def _settle(future: "Future[Any]", work: Callable[[], Any]) -> None:
    try:
        future.set_result(_compute(work))
    except BaseException as error:  # Whatever it was, the thread that asked has it.
        future.set_exception(error)


@cache
def _shared_stream(kind: mx.DeviceType) -> mx.Stream:
    return mx.new_thread_unsafe_stream(kind)
