"""Which samples are made when: nested, layered, and with seeds that depend on nothing else."""

from collections import Counter

from mlx_magistral.evals.run.order import Planned, chosen_problems, plan_samples, sample_seed
from mlx_magistral.evals.tasks.problem import Kind, Problem, Task


def task(name: str, count: int) -> Task:
    problems = [Problem(str(n), f"{name} {n}", "1", Kind.NUMBER) for n in range(count)]
    return Task(name, problems, {})


def test_a_larger_limit_adds_to_a_smaller_one() -> None:
    found = task("a", 50)
    few, more = (chosen_problems(found, limit, seed=3) for limit in (10, 20))
    assert more[:10] == few
    assert len(chosen_problems(found, None, seed=3)) == 50
    assert chosen_problems(found, 10, seed=4) != few


def test_every_problem_has_one_sample_before_any_has_two() -> None:
    problems = {"a": task("a", 30).problems, "b": task("b", 10).problems}
    planned = list(plan_samples(problems, {"a": 2, "b": 4}, seed=1))
    assert len(planned) == len({each.key for each in planned}) == 100
    assert [each.number for each in planned] == sorted(each.number for each in planned)
    # Tasks are mixed: a run that ends early has come to both.
    assert 2 < Counter(each.task for each in planned[:20])["b"] < 18


def test_more_samples_leave_those_before_as_they_were() -> None:
    problems = {"a": task("a", 30).problems}
    few, more = (list(plan_samples(problems, {"a": n}, seed=1)) for n in (2, 5))
    assert more[: len(few)] == few


def test_seeds_differ_by_everything_that_names_a_sample() -> None:
    problem, other = task("a", 2).problems
    keys = [Planned("a", problem, 0), Planned("a", problem, 1), Planned("a", other, 0)]
    keys.append(Planned("b", problem, 0))
    seeds = [sample_seed(run, key) for key in keys for run in (0, 1)]
    assert len(set(seeds)) == 8
    assert all(0 <= seed < 2**56 for seed in seeds)
    assert sample_seed(0, keys[0]) == sample_seed(0, Planned("a", problem, 0))
