"""The run itself: samples that are not there yet through the pool, verdicts to the folder."""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mlx_magistral.batching.pool import Job, Made, ReplyPool
from mlx_magistral.errors import ContextLengthError, MagistralError
from mlx_magistral.evals.run.folder import RunFolder
from mlx_magistral.evals.run.order import Planned, sample_seed
from mlx_magistral.evals.run.protocol import Drawing, Recipe
from mlx_magistral.evals.run.sample import Sample
from mlx_magistral.evals.scoring.verdict import Verdict, unparsed
from mlx_magistral.evals.tally import Tally
from mlx_magistral.evals.tasks.problem import Posed, Problem
from mlx_magistral.events import Reply, Usage

Judge = Callable[[Problem, Posed, str | None], Verdict]


@dataclass(frozen=True)
class Questioning:
    """How samples are asked for: the recipe, and each task's drawing by its name."""

    recipe: Recipe
    drawings: Mapping[str, Drawing]

    def options(self, planned: Planned) -> dict[str, Any]:
        """The keywords of ``Magistral.stream`` for a sample."""
        recipe, drawing = self.recipe, self.drawings[planned.task]
        text = self.posed(planned).text
        messages: list[dict[str, str]] = [{"role": "user", "content": text}]
        if recipe.system is not None:
            messages.insert(0, {"role": "system", "content": recipe.system})
        options: dict[str, Any] = {
            "messages": messages,
            "temperature": drawing.temperature,
            "top_p": drawing.top_p,
            "max_tokens": drawing.max_tokens,
            "on_loop": recipe.on_loop,
            "seed": sample_seed(recipe.seed, planned),
        }
        if recipe.think_budget is not None:
            options["think_budget"] = recipe.think_budget
        return options

    def posed(self, planned: Planned) -> Posed:
        """The problem as this sample asks it."""
        return planned.problem.posed(planned.number, self.recipe.template)


class Runner:
    """Makes and judges samples. Verdicts are found beside the replies, on threads of their own."""

    def __init__(self, folder: RunFolder, questioning: Questioning, judge: Judge) -> None:
        self.failures: list[MagistralError] = []
        self._folder = folder
        self._questioning = questioning
        self._judge = judge
        self._judging: deque[Future[Sample]] = deque()

    def run(
        self,
        pool: ReplyPool,
        planned: Sequence[Planned],
        tally: Tally,
        on_progress: Callable[[], None],
        deadline: float | None = None,
    ) -> None:
        """Until all are there, or ``deadline`` (of time.monotonic) is over.

        What has begun then is finished: to end it would leave out the long replies.
        """

        def tick() -> None:
            tally.tokens = pool.tokens
            tally.done += self._keep_judged(wait=False)
            on_progress()

        with ThreadPoolExecutor(max_workers=2) as threads:
            try:
                for made in pool.make(self._jobs(planned, deadline), tick):
                    if made.error is None or isinstance(made.error, ContextLengthError):
                        self._judging.append(threads.submit(self._sample, made))
                    else:
                        self.failures.append(made.error)
                    tick()
            finally:
                # After Ctrl-C too: these replies are whole.
                tally.done += self._keep_judged(wait=True)
            tick()

    def _jobs(self, planned: Sequence[Planned], deadline: float | None) -> Iterator[Job]:
        for each in planned:
            if deadline is not None and time.monotonic() >= deadline:
                return
            yield Job(each, self._questioning.options(each))

    def _keep_judged(self, *, wait: bool) -> int:
        """Write the verdicts that are there, in the order of their replies; how many."""
        kept = 0
        while self._judging and (wait or self._judging[0].done()):
            self._folder.append(self._judging.popleft().result())
            kept += 1
        return kept

    def _sample(self, made: Made) -> Sample:
        planned: Planned = made.key
        posed = self._questioning.posed(planned)
        reply = None if made.error is not None else made.said.reply()
        if reply is None:
            verdict = unparsed("the prompt is longer than the context")
        else:
            verdict = self._judge(planned.problem, posed, reply.content)
        return make_sample(
            planned,
            posed,
            reply,
            verdict,
            sample_seed(self._questioning.recipe.seed, planned),
            made.seconds,
        )


def make_sample(
    planned: Planned,
    posed: Posed,
    reply: Reply | None,
    verdict: Verdict,
    seed: int,
    seconds: float,
) -> Sample:
    """The line of a reply; None is one that could not be made."""
    usage = Usage(0, 0, 0) if reply is None else reply.usage
    return Sample(
        task=planned.task,
        problem=planned.problem.id,
        sample=planned.number,
        seed=seed,
        prompt_sha256=hashlib.sha256(posed.text.encode("utf-8", "surrogatepass")).hexdigest(),
        prompt_tokens=usage.prompt_tokens,
        thinking_tokens=usage.reasoning_tokens,
        answer_tokens=usage.answer_tokens,
        thinking=None if reply is None else reply.reasoning,
        answer=None if reply is None else reply.content,
        finish_reason="error" if reply is None else reply.finish_reason.value,
        limit=None if reply is None or reply.limit is None else reply.limit.value,
        expected=posed.answer,
        parsed=verdict.parsed,
        vote=verdict.vote,
        verdict=verdict.outcome,
        note=verdict.note,
        seconds=round(seconds, 3),
        group=planned.problem.group,
    )
