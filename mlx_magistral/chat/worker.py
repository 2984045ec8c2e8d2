"""ModelThread: loads the model while the user types, and runs its replies, in a thread of its own.

All of mlx's work stays in that one thread; the others get events, and ask a run to stop.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from mlx_magistral.doctor import import_problem, mlx_problem
from mlx_magistral.errors import MagistralError
from mlx_magistral.events import Event, Finished

if TYPE_CHECKING:
    from mlx_magistral.engine.magistral import Magistral
    from mlx_magistral.engine.streaming import ReplyStream

_TICK_S = 0.2


@dataclass(frozen=True)
class Prefilling:
    """How many ids of the prompt are computed."""

    done: int
    total: int


@dataclass(frozen=True)
class Tick:
    """Nothing came for a while; ``is_loading`` says whether the model is still being read."""

    is_loading: bool


@dataclass(frozen=True)
class _End:
    error: MagistralError | None


class Run:
    """One reply, as the main thread sees it. ``interrupt()`` may be called in a signal handler."""

    def __init__(self, thread: "ModelThread", arguments: dict[str, Any]) -> None:
        self.arguments = arguments
        self.is_stopped = False
        self.stream: ReplyStream | None = None
        # SimpleQueue may be put to in a signal handler while the same thread waits for it.
        self.queue: SimpleQueue[Event | Prefilling | _End] = SimpleQueue()
        # Nothing is left to be written of it, or nothing was to begin with.
        self.is_written = threading.Event()
        self.is_written.set()
        self._thread = thread
        self._has_answered_now = False

    def next(self) -> Event | Prefilling | Tick | None:
        """What comes next, None at the end; raises MagistralError where the reply failed."""
        try:
            item = self.queue.get(timeout=_TICK_S)
        except Empty:
            return Tick(self._thread.is_loading)
        if not isinstance(item, _End):
            return item
        if item.error is not None:
            raise item.error
        return None

    def interrupt(self) -> None:
        """While it thinks: answer now. Otherwise, or when asked again: stop."""
        stream = self.stream
        if stream is not None and stream.is_thinking and not self._has_answered_now:
            self._has_answered_now = True
            stream.answer_now()
            return
        self.stop()

    def stop(self) -> None:
        """End the reply; one whose model is still loading ends without an event."""
        self.is_stopped = True
        if self.stream is not None:
            self.stream.cancel()
        elif self._thread.is_loading:
            self.queue.put(_End(None))

    def report(self, done: int, total: int) -> None:
        self.queue.put(Prefilling(done, total))


class ModelThread:
    """The thread and the model it holds; ``use`` changes the model."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._load: Callable[[], Magistral] | None = None
        self._is_asked = False
        self._notes: list[str] = []
        self._run: Run | None = None
        self.model: Magistral | None = None
        self.error: MagistralError | None = None
        self.is_loading = False
        threading.Thread(target=self._work, name="model", daemon=True).start()

    def use(self, load: "Callable[[], Magistral]") -> None:
        """Name the model to hold from now on; ``prepare`` or the next reply loads it."""
        self._load = load
        self._is_asked = False

    def prepare(self) -> None:
        """Begin to load, where that was not done yet.

        The model before it is let go first: there may be no room for both.
        """
        if not self._is_asked:
            self._is_asked = self.is_loading = True
            self._jobs.put(self._load_model)

    def start(self, **arguments: Any) -> Run:
        """Begin a reply; the arguments are those of ``Magistral.stream``."""
        if self._run is not None and self._run.stream is not None:
            self._run.stream.cancel()  # it is over, and may still be written to disk
        self._run = run = Run(self, arguments)
        if self.error is not None:
            self._is_asked = False  # what was wrong may be mended by now
        self.prepare()
        self._jobs.put(lambda: self._reply(run))
        return run

    def finish(self) -> None:
        """Wait until what the latest reply left to be written is on disk; Ctrl-C puts it off."""
        run = self._run
        if run is None or run.stream is None:
            return
        try:
            run.is_written.wait()
        except KeyboardInterrupt:
            run.stream.cancel()
            run.is_written.wait()

    def take_notes(self) -> list[str]:
        """What the model's memory has to say since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def _work(self) -> None:
        while True:
            self._jobs.get()()

    def _load_model(self) -> None:
        assert self._load is not None
        if self.model is not None:
            self.model.unload()
        self.model = self.error = None
        try:
            self.model = self._load()
            if self.model.memory.note is not None:
                self._notes.append(self.model.memory.note)
        except MagistralError as error:
            self.error = error
        except MemoryError:
            self.error = MagistralError("There is no memory left for this model.")
        except ImportError as error:
            self.error = MagistralError(import_problem(error))
        except RuntimeError as error:  # what mlx raises
            self.error = MagistralError(mlx_problem(error) or f"The model failed to load: {error}.")
        self.is_loading = False

    def _reply(self, run: Run) -> None:
        if self.model is None or (run.is_stopped and run.stream is None):
            run.queue.put(_End(None if run.is_stopped else self.error))
            return
        try:
            run.stream = self.model.stream(on_prefill=run.report, **run.arguments)
            if run.is_stopped:
                run.stream.cancel()
            for event in run.stream:
                run.queue.put(event)
                if isinstance(event, Finished):  # what is left is written while the user reads
                    run.is_written.clear()
                    run.queue.put(_End(None))
            self._notes += self.model.memory.take_notes()
            run.queue.put(_End(None))
        except MagistralError as error:
            run.queue.put(_End(error))
        except (RuntimeError, MemoryError) as error:  # what mlx raises where memory ends
            run.queue.put(_End(MagistralError(f"The reply failed: {error}.")))
        finally:
            run.is_written.set()
