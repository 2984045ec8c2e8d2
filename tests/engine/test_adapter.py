"""A model that answers with an adapter: its replies, its kept prompts, and unloading."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from model.adapters.folders import write_adapter

from mlx_magistral.cli.main import main
from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.checkpoint import open_checkpoint

QUESTION = "What is 37 + 48?"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random, and large enough to confuse nano."""
    config = open_checkpoint(nano_folder()).config
    return write_adapter(tmp_path_factory.mktemp("adapter"), config, size=0.5)


def answer(model: Magistral) -> tuple[str | None, int]:
    reply = model.generate(QUESTION, temperature=0, max_tokens=24, speculate="off")
    return reply.reasoning, reply.usage.cached_tokens


def test_replies_are_others_and_come_back_after_unloading(adapter: Path) -> None:
    plain, adapted = Magistral.load("nano"), Magistral.load("nano", adapter=adapter)
    said = answer(adapted)[0]
    assert said != answer(plain)[0]
    adapted.unload()
    adapted.reload()
    assert answer(adapted)[0] == said


def test_prompts_kept_with_an_adapter_are_not_used_without_it(adapter: Path) -> None:
    def load(which: Path | None) -> Magistral:
        return Magistral.load("nano", reuse_prefixes=True, adapter=which)

    first, _ = answer(load(adapter))
    plain, cached = answer(load(None))
    assert cached == 0
    assert answer(load(adapter))[0] == first
    assert answer(load(adapter))[1] > 0
    again, cached = answer(load(None))
    assert (again, cached > 0) == (plain, True)


def test_the_plan_counts_the_adapter(adapter: Path) -> None:
    plain, adapted = Magistral.load("nano"), Magistral.load("nano", adapter=adapter)
    added = adapted.memory.plan.weight_bytes - plain.memory.plan.weight_bytes
    assert adapted.adapter is not None
    assert added == adapted.adapter.nbytes > 0


@pytest.mark.parametrize("command", ["generate", "chat"])
def test_the_commands_take_it(adapter: Path, command: str, tmp_path: Path) -> None:
    def run(*flags: str) -> str:
        arguments = [command, "-m", "nano", *flags, "--temperature", "0", "--max-tokens", "20"]
        question = [QUESTION] if command == "generate" else ["--no-log"]
        result = CliRunner().invoke(main, [*arguments, *question], input=QUESTION + "\n")
        assert result.exit_code == 0, result.output
        return result.output

    assert "37+48" in run()
    assert "37+48" not in run("--adapter", str(adapter))


def test_any_thread_may_load_it(adapter: Path) -> None:
    wanted = answer(Magistral.load("nano", adapter=adapter))
    with ThreadPoolExecutor(1) as pool:
        alone = pool.submit(lambda: Magistral.load("nano", adapter=adapter)).result()
        several = pool.submit(lambda: Magistral.load("nano", variants=[adapter])).result()
    assert answer(alone)[0] == wanted[0]
    assert answer(next(iter(several.variants.values())))[0] == wanted[0]


def test_a_folder_that_is_no_adapter_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["generate", "-m", "nano", "--adapter", str(tmp_path), "x"])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "no adapter_config.json" in result.stderr
