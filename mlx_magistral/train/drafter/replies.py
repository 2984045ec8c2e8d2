"""The target's own replies to prompts, as ids in a file that grows: each is kept as it ends.

A head learns to guess what its target says, so the target has to say it; what others wrote would
teach it others' words. A reply that stands in the file is never made again.
"""

import json
import queue
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlx_magistral.batching.engine import BatchEngine, BatchOptions
from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.engine.streaming import ReplyStream
from mlx_magistral.errors import MagistralError, TrainingError
from mlx_magistral.events import Event, Finished
from mlx_magistral.train.drafter.prompts import Prompt
from mlx_magistral.train.drafter.said import Said

FILE = "replies.jsonl"
# Fewer ids have no chain to learn from.
_FEWEST_TOKENS = 4


@dataclass(frozen=True)
class ReplyOptions:
    """``max_tokens`` of one reply; the seed counts up with the prompts."""

    temperature: float = 0.7
    top_p: float = 0.95
    max_tokens: int = 2048
    width: int = 8
    seed: int = 0


class ReplyFile:
    """The replies of a folder, by the number of their prompt; reading drops what a kill cut off."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self.said: dict[int, Said] = {}
        for number, tokens, prompt_tokens in self._lines():
            self.said[number] = Said(array("I", tokens), prompt_tokens)

    @property
    def tokens(self) -> int:
        """Ids of all replies, prompts left out."""
        return sum(len(each) - each.prompt_tokens for each in self.said.values())

    def add(self, number: int, said: Said) -> None:
        """Keep a reply; raises TrainingError where the disk takes no more."""
        line = json.dumps([number, list(said.tokens), said.prompt_tokens])
        try:
            with self._path.open("a") as file:
                file.write(line + "\n")
                file.flush()
        except OSError as error:
            raise TrainingError(
                f"{self._path} cannot be written: {error.strerror}. Free some space and give the "
                "same command again."
            ) from error
        self.said[number] = said

    def in_order(self) -> list[Said]:
        """By prompt, whatever order they came in."""
        return [self.said[number] for number in sorted(self.said)]

    def _lines(self) -> Iterator[tuple[int, list[int], int]]:
        if not self._path.is_file():
            return
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self._path.write_bytes(whole)
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                place, tokens, prompt_tokens = json.loads(line)
            except ValueError as error:
                raise TrainingError(
                    f"{self._path}:{number} is damaged. Remove the line."
                ) from error
            yield place, tokens, prompt_tokens


def make_replies(
    model: Magistral,
    prompts: Sequence[Prompt],
    kept: ReplyFile,
    options: ReplyOptions,
    *,
    is_enough: Callable[[ReplyFile], bool],
    on_reply: Callable[[ReplyFile], None] = lambda kept: None,
) -> list[str]:
    """Ask what was not asked before until it ``is_enough``; returns what went wrong, a line each.

    Raises TrainingError where no prompt brought a usable reply.
    """
    problems: list[str] = []
    engine = BatchEngine(model, BatchOptions(options.width, 2 * options.width))
    done: queue.SimpleQueue[tuple[int, ReplyStream, MagistralError | None]] = queue.SimpleQueue()
    waiting = iter([n for n in range(len(prompts)) if n not in kept.said])
    running = 0
    try:
        while True:
            while running < options.width + 1 and not is_enough(kept):
                number = next(waiting, None)
                if number is None:
                    break
                try:
                    stream = _ask(model, prompts[number], options, number)
                    engine.submit(stream.progress, _told(done, number, stream))
                    running += 1
                except MagistralError as error:
                    problems.append(f"{prompts[number].place}: {error}")
            if not running:
                break
            number, stream, failure = done.get()
            running -= 1
            if failure is not None:
                problems.append(f"{prompts[number].place}: {failure}")
            else:
                _keep(kept, number, stream)
                on_reply(kept)
    finally:
        engine.close(0)
    if not any(map(_is_usable, kept.said.values())):
        reason = f" The first: {problems[0]}" if problems else ""
        raise TrainingError(f"No prompt brought a reply to learn from.{reason}")
    return problems


def _is_usable(said: Said) -> bool:
    return len(said) - said.prompt_tokens >= _FEWEST_TOKENS


def usable(kept: ReplyFile) -> list[Said]:
    """The replies there is something to learn from, by prompt."""
    return [said for said in kept.in_order() if _is_usable(said)]


def _ask(model: Magistral, prompt: Prompt, options: ReplyOptions, number: int) -> ReplyStream:
    return model.stream(
        list(prompt.messages),
        tools=prompt.tools,
        temperature=options.temperature,
        top_p=options.top_p,
        max_tokens=options.max_tokens,
        seed=options.seed + number,
        speculate="off",
    )


def _keep(kept: ReplyFile, number: int, stream: ReplyStream) -> None:
    progress = stream.progress
    kept.add(number, Said(array("I", progress.tokens), len(progress.plan.prompt)))


def _told(
    done: "queue.SimpleQueue[tuple[int, ReplyStream, MagistralError | None]]",
    number: int,
    stream: ReplyStream,
) -> Callable[[Event | MagistralError], None]:
    def on_event(event: Event | MagistralError) -> None:
        if isinstance(event, MagistralError):
            done.put((number, stream, event))
        elif isinstance(event, Finished):
            done.put((number, stream, None))

    return on_event
