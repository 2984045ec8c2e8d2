"""Running a batch: requests that have no answer yet through the pool, answers to the file."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from mlx_magistral.batching.pool import Job, ReplyPool
from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.errors import MagistralError
from mlx_magistral.evals.batch.answers import answer, refusal
from mlx_magistral.evals.batch.lines import RequestLine
from mlx_magistral.evals.line_file import LineFile
from mlx_magistral.evals.tally import Tally
from mlx_magistral.events import Event


class Refused(Exception):
    """A request that cannot be answered: why, in OpenAI's words."""

    def __init__(self, message: str, code: str, param: str | None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.param = param


class Asked(Protocol):
    """A request understood: the keywords of each of its replies, and the answer's body."""

    @property
    def copies(self) -> Sequence[dict[str, Any]]: ...

    def watch(self, copy: int, event: Event) -> None:
        """See an event of a copy, on the engine's thread."""

    def body(self, said: Sequence[ReplyCollector]) -> dict[str, Any]: ...


# From a request line to what is asked; raises Refused.
Understand = Callable[[RequestLine], Asked]
# From an error of the engine's to the reason of a refusal.
Explain = Callable[[MagistralError], Refused]


class Protocols(NamedTuple):
    """How requests are understood and errors explained."""

    understand: Understand
    explain: Explain


@dataclass
class _Pending:
    """A request on its way, and those of its replies that are there."""

    line: RequestLine
    asked: Asked
    said: dict[int, ReplyCollector]
    failure: Refused | None = None
    missing: int = 0


class BatchRun:
    """Answers ``lines`` into ``output``; ``tally`` counts lines."""

    def __init__(self, output: LineFile, protocols: Protocols, tally: Tally) -> None:
        self.failed = 0
        self._output = output
        self._protocols = protocols
        self._tally = tally
        self._pending: dict[str, _Pending] = {}

    def run(
        self, pool: ReplyPool, lines: Sequence[RequestLine], on_progress: Callable[[], None]
    ) -> None:
        """Until every line has its record; a kill loses only the replies on their way."""

        def tick() -> None:
            self._tally.tokens = pool.tokens
            on_progress()

        for made in pool.make(self._jobs(lines), tick):
            id, copy = made.key
            pending = self._pending[id]
            pending.missing -= 1
            if made.error is None:
                pending.said[copy] = made.said
            else:
                pending.failure = self._protocols.explain(made.error)
            if pending.missing == 0:
                self._finish(self._pending.pop(id))
                tick()

    def _jobs(self, lines: Sequence[RequestLine]) -> Iterator[Job]:
        for line in lines:
            try:
                if line.problem is not None:
                    raise Refused(line.problem, "invalid_request", None)
                asked = self._protocols.understand(line)
            except Refused as refused:
                self._refuse(line, refused)
                continue
            self._pending[line.id] = _Pending(line, asked, {}, missing=len(asked.copies))
            for copy, keywords in enumerate(asked.copies):
                yield Job((line.id, copy), keywords, _Watch(asked, copy))

    def _finish(self, pending: _Pending) -> None:
        if pending.failure is not None:
            self._refuse(pending.line, pending.failure)
            return
        said = [pending.said[copy] for copy in sorted(pending.said)]
        self._output.append(answer(pending.line, pending.asked.body(said)))
        self._tally.done += 1

    def _refuse(self, line: RequestLine, why: Refused) -> None:
        self._output.append(refusal(line, why.message, why.code, why.param))
        self._tally.done += 1
        self.failed += 1


class _Watch:
    def __init__(self, asked: Asked, copy: int) -> None:
        self._asked = asked
        self._copy = copy

    def __call__(self, event: Event) -> None:
        self._asked.watch(self._copy, event)
