"""make_replies: many conversations answered together, each with its tools, in the given order."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlx_magistral.batching.pool import Job, ReplyPool
from mlx_magistral.engine.resident import ResidentModel
from mlx_magistral.engine.tool_rounds import ToolRounds
from mlx_magistral.errors import UsageError
from mlx_magistral.events import Reply
from mlx_magistral.options import require_list, require_whole
from mlx_magistral.text.functions import run_tool_now


@dataclass(frozen=True)
class BatchProgress:
    """How far a batch is: replies that are whole, tokens of all, and seconds since it began."""

    done: int
    total: int
    tokens: int
    seconds: float

    @property
    def line(self) -> str:
        """12 of 100 replies, 3,400 tokens, 55 tok/s."""
        rate = self.tokens / self.seconds if self.seconds else 0.0
        return f"{self.done} of {self.total} replies, {self.tokens:,} tokens, {rate:,.0f} tok/s"


OnProgress = Callable[[BatchProgress], None]
Finish = Callable[[int, Reply], Reply]


def make_replies(
    model: ResidentModel,
    prompts: Sequence[Any],
    options: Mapping[str, Any],
    *,
    tools: Sequence[Any] | None,
    max_tool_rounds: int,
    max_batch: int,
    progress: bool | OnProgress,
    finish: Finish,
) -> list[Reply]:
    """See ``Magistral.generate_batch``; ``finish`` gives what to return for a reply."""
    require_list("prompts", prompts)
    require_whole("max_batch", max_batch)
    if max_batch < 1:
        raise UsageError(f"max_batch must be 1 or more, not {max_batch}.")
    if not isinstance(progress, bool) and not callable(progress):
        raise UsageError(f"progress must be True, False or a function, not {progress!r}.")
    for messages in prompts:
        # All that is wrong with a prompt is said before the first is computed.
        model.begin(messages=messages, tools=tools, **options)
    every = [ToolRounds(each, tools, max_tool_rounds, options) for each in prompts]
    model.reload()
    tell = _on_terminal if progress is True else progress
    return _Batch(every, tell or None, finish).run(model, max_batch)


class _Batch:
    """Conversations on their way; those that called tools come into the queue again."""

    def __init__(
        self, every: Sequence[ToolRounds], tell: OnProgress | None, finish: Finish
    ) -> None:
        self._every = every
        self._waiting = deque(range(len(every)))
        self._replies: dict[int, Reply] = {}
        self._tell = tell
        self._finish = finish
        self._began = time.monotonic()

    def run(self, model: ResidentModel, width: int) -> list[Reply]:
        with ReplyPool(model, width) as pool:
            for made in pool.make(self, lambda: self._report(pool)):
                if made.error is not None:
                    raise made.error
                self._take(made.key, made.said.reply())
                self._report(pool)
        return [self._replies[index] for index in range(len(self._every))]

    def __iter__(self) -> Iterator[Job]:
        return self

    def __next__(self) -> Job:
        """The next to answer. The pool asks again after an end: there may be one by then."""
        if not self._waiting:
            raise StopIteration
        index = self._waiting.popleft()
        rounds = self._every[index]
        return Job(index, {"messages": rounds.messages, **rounds.options})

    def _take(self, index: int, reply: Reply) -> None:
        rounds = self._every[index]
        calls = rounds.calls(reply)
        if calls:
            rounds.add(reply, [run_tool_now(tool, call.arguments) for tool, call in calls])
            self._waiting.append(index)
            return
        self._replies[index] = self._finish(index, rounds.finished(reply))

    def _report(self, pool: ReplyPool) -> None:
        if self._tell is not None:
            seconds = time.monotonic() - self._began
            self._tell(BatchProgress(len(self._replies), len(self._every), pool.tokens, seconds))


def _on_terminal(progress: BatchProgress) -> None:
    """One line on stderr that is drawn again; where it is no terminal, the last one alone."""
    is_last = progress.done == progress.total
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{progress.line}" + ("\n" if is_last else ""))
    elif is_last:
        sys.stderr.write(f"{progress.line}\n")
    sys.stderr.flush()
