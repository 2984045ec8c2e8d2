"""Session: one sitting of a run, from what is asked for to verdicts in its folder."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mlx_magistral.batching.pool import ReplyPool
from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.errors import MagistralError
from mlx_magistral.evals.run.cost import Cost, expected_tokens, run_cost
from mlx_magistral.evals.run.folder import RunFolder, default_folder
from mlx_magistral.evals.run.identity import run_identity, session_facts
from mlx_magistral.evals.run.order import Planned, chosen_problems, plan_samples
from mlx_magistral.evals.run.protocol import Recipe
from mlx_magistral.evals.run.runner import Judge, Questioning, Runner
from mlx_magistral.evals.run.speed import measure_speed
from mlx_magistral.evals.tally import Tally
from mlx_magistral.evals.tasks.problem import Task
from mlx_magistral.evals.width import fitting_width


@dataclass(frozen=True)
class Amounts:
    """How much is made; all of it may be more in a later session of the same run."""

    limit: int | None = None
    width: int | None = None


class Session:
    """What a model is asked, in which order. ``planned`` is all of it, made or not.

    Raises UsageError where the recipe cannot be.
    """

    def __init__(
        self,
        model: Magistral,
        tasks: Sequence[Task],
        recipe: Recipe,
        amounts: Amounts,
        tokenizer: Path | None = None,
    ) -> None:
        self.width = amounts.width or fitting_width(model)
        self.identity = run_identity(model, tokenizer, tasks, recipe)
        self._model = model
        self._tasks = {task.name: task for task in tasks}
        drawings = {task.name: recipe.drawing(task.protocol) for task in tasks}
        self._asked = Questioning(recipe, drawings)
        problems = {
            name: chosen_problems(task, amounts.limit, recipe.seed)
            for name, task in self._tasks.items()
        }
        counts = {name: drawing.samples for name, drawing in drawings.items()}
        self.planned = list(plan_samples(problems, counts, recipe.seed))

    @property
    def place(self) -> Path:
        """The folder where nobody names one."""
        return default_folder(self.identity)

    def open(self, place: Path) -> RunFolder:
        """The run's folder, this session noted in it. Raises RunError."""
        drawings = {name: asdict(each) for name, each in self._asked.drawings.items()}
        facts = session_facts(self.width)
        return RunFolder(place, self.identity, {**facts, "drawings": drawings})

    def left(self, folder: RunFolder) -> list[Planned]:
        """The samples that are not there yet, in the order in which they are made."""
        made = {sample.key for sample in folder.samples()}
        return [each for each in self.planned if each.key not in made]

    def cost(self, folder: RunFolder, left: Sequence[Planned]) -> Cost:
        """Of what is left, by a short measurement of this machine's speed."""
        expected = expected_tokens(self._tasks, self._asked, folder.samples())
        asked = [self._asked.options(each) for each in left[: self.width]]
        speed = measure_speed(self._model, min(self.width, len(left)), asked)
        return run_cost(left, expected, speed)

    def run(
        self,
        folder: RunFolder,
        left: Sequence[Planned],
        judge: Judge,
        tally: Tally,
        on_progress: Callable[[], None],
        deadline: float | None = None,
    ) -> list[MagistralError]:
        """Make what is left; returns why replies failed that another try may not."""
        folder.write_problems(left, self._asked.recipe.template)
        runner = Runner(folder, self._asked, judge)
        with ReplyPool(self._model, self.width) as pool:
            runner.run(pool, left, tally, on_progress, deadline)
        folder.end_session(seconds=round(tally.seconds, 1), samples=tally.made, tokens=tally.tokens)
        return runner.failures
