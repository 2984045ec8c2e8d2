"""What an engine asks of the memory floor: a plan that fits, and prefixes where they are wanted."""

from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import pytest
from model.builders import SMALL, write_hf

from mlx_magistral.decode.generate import prefill
from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.errors import MemoryPlanError, UsageError
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.memory import runtime
from mlx_magistral.memory.machine import Backend, Machine
from mlx_magistral.memory.plan import make_plan
from mlx_magistral.memory.prefixes.disk import FOLDER_VARIABLE
from mlx_magistral.memory.prefixes.passes import PromptMarks
from mlx_magistral.memory.runtime import MemoryOptions, ModelMemory, plan_memory
from mlx_magistral.model.checkpoint import open_checkpoint
from mlx_magistral.model.weights import load_model

ANSWER = 127  # the mark that a prompt ends with
MARKS = PromptMarks(answer=frozenset({ANSWER}))
PROMPT = [*((7 * index) % 126 for index in range(99)), ANSWER]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "prefixes"))
    return write_hf(tmp_path / "model", SMALL)


def computed(memory: ModelMemory, folder: Path, prompt: list[int]) -> int:
    """Prefill as an engine does; returns how many ids were known before."""
    model = load_model(folder).model
    memory.marks = MARKS
    cache = memory.new_cache(model)
    known = memory.restore(prompt, cache)
    prefill(
        model, prompt[known:], cache, ends=[e - known for e in memory.ends(prompt) if e > known]
    )
    mx.eval([layer.state for layer in cache])
    memory.keep_prompt(prompt, cache, known)
    mx.eval(model(mx.array([[5, 6]]), cache))
    memory.keep([*prompt, 5, 6, 7], cache)
    memory.write_prompts(tokens=[*prompt, 5, 6, 7], cache=cache)
    return known


def test_a_plan_that_does_not_fit_is_refused_before_weights_are_read(folder: Path) -> None:
    with pytest.raises(MemoryPlanError, match="It does not fit a small one"):
        plan_memory(
            open_checkpoint(folder),
            MemoryOptions(),
            Machine("a small one", Backend.METAL, 1_000_000),
        )


def test_what_does_not_fit_loads_by_force_and_tells_by_how_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = Machine("a small one", Backend.METAL, 1_000_000)
    monkeypatch.setattr(runtime, "this_machine", lambda: machine)
    told: list[str] = []
    with pytest.raises(MemoryPlanError):
        Magistral.load(nano_folder(), on_forced=told.append)
    assert told == []
    loaded = Magistral.load(nano_folder(), force=True, reuse_prefixes=True, on_forced=told.append)
    (note,) = told
    over = -loaded.memory.plan.free_bytes / 1e9
    assert f"exceeds what a small one has for it by {over:.2f} GB: weights" in note
    assert loaded.generate("What is 37 + 48?", temperature=0).content is not None


def test_plan_lowers_the_kv_bits_and_the_cache_follows(tmp_path: Path) -> None:
    config = replace(SMALL, n_layers=12)
    folder = write_hf(tmp_path / "deep", config)
    options = MemoryOptions(context_tokens=256)
    whole = plan_memory(open_checkpoint(folder), options)
    assert whole.plan.kv_bits == 16 and whole.note is None
    roomy = Machine("m", Backend.METAL, 10**9)
    eight, sixteen = (
        make_plan(config, whole.plan.weight_bytes, roomy, 256, kv_bits=bits, chunk_tokens=256)
        for bits in (8, 16)
    )
    kept = [each.reserve_bytes - 0.05 * roomy.limit_bytes for each in (eight, sixteen)]
    between = int((eight.peak_bytes + sixteen.peak_bytes + sum(kept)) / 2 / 0.95)
    lowered = plan_memory(open_checkpoint(folder), options, Machine("m", Backend.METAL, between))
    assert lowered.plan.kv_bits == 8 and lowered.note is not None
    cache = lowered.new_cache(load_model(folder).model)
    part = mx.zeros((1, 2, 1, 32))
    cache[0].update_and_fetch(part, part)
    assert len(cache[0].state) == 6


def test_context_is_the_callers_within_the_models(tmp_path: Path) -> None:
    folder = write_hf(tmp_path, SMALL, extra_config={"max_position_embeddings": 1000})
    assert plan_memory(open_checkpoint(folder), MemoryOptions()).plan.context_tokens == 1000
    assert (
        plan_memory(open_checkpoint(folder), MemoryOptions(context_tokens=10)).plan.context_tokens
        == 10
    )
    with pytest.raises(UsageError, match="1 to 1,000"):
        plan_memory(open_checkpoint(folder), MemoryOptions(context_tokens=1001))


def test_second_turn_and_restarted_process_compute_only_what_is_fresh(folder: Path) -> None:
    options = MemoryOptions(reuse_prefixes=True)
    memory = plan_memory(open_checkpoint(folder), options)
    assert computed(memory, folder, PROMPT) == 0
    # Up to the mark, which is read again with the answer.
    assert computed(memory, folder, [*PROMPT, 5, 6, 8, 9]) == 99
    restarted = plan_memory(open_checkpoint(folder), options)
    assert computed(restarted, folder, [*PROMPT, 9]) == 99
    assert computed(restarted, folder, PROMPT) == 99
    other_format = plan_memory(
        open_checkpoint(folder), MemoryOptions(kv_bits=8, reuse_prefixes=True)
    )
    assert computed(other_format, folder, PROMPT) == 0
    assert memory.take_notes() == []


def test_where_rounding_is_allowed_replies_are_continued_from_too(folder: Path) -> None:
    options = MemoryOptions(reuse_prefixes=True)
    memory = plan_memory(open_checkpoint(folder), options)
    assert computed(memory, folder, PROMPT) == 0
    memory.allow_rounding()
    # What was kept for exact replies is another store's.
    assert computed(memory, folder, PROMPT) == 0
    assert computed(memory, folder, [*PROMPT, 5, 6, 8, 9]) == 102
    exact = plan_memory(open_checkpoint(folder), options)
    assert computed(exact, folder, [*PROMPT, 5, 6, 8, 9]) == 99


def test_nothing_is_kept_unless_asked_for(folder: Path) -> None:
    memory = plan_memory(open_checkpoint(folder), MemoryOptions())
    assert computed(memory, folder, PROMPT) == computed(memory, folder, PROMPT) == 0
    assert not (folder.parent / "prefixes").exists()


def test_unwritable_folder_is_a_note(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder / "config.json" / "x"))
    memory = plan_memory(open_checkpoint(folder), MemoryOptions(reuse_prefixes=True))
    assert computed(memory, folder, PROMPT) == 0
    assert "cannot be written" in memory.take_notes()[0] and memory.take_notes() == []


@pytest.mark.parametrize("is_in_ram", [True, False])
def test_the_disk_waits_until_the_reply_is_over(
    folder: Path, tmp_path: Path, is_in_ram: bool
) -> None:
    memory = plan_memory(open_checkpoint(folder), MemoryOptions(reuse_prefixes=True))
    assert memory.prefixes is not None
    if not is_in_ram:
        memory.prefixes.ram_bytes = 0
    memory.marks = MARKS
    model = load_model(folder).model
    cache = memory.new_cache(model)
    mx.eval(model(mx.array([PROMPT]), cache))
    memory.keep_prompt(PROMPT, cache, 0)
    memory.keep([*PROMPT, 5], cache)
    assert not (tmp_path / "prefixes").exists()
    memory.write_prompts(tokens=[*PROMPT, 5], cache=cache if not is_in_ram else ())
    (manifest,) = (tmp_path / "prefixes").glob("*.json")
    restarted = plan_memory(open_checkpoint(folder), MemoryOptions(reuse_prefixes=True))
    restarted.marks = MARKS
    assert restarted.restore(PROMPT, restarted.new_cache(model)) == 99


def test_writing_stops_when_there_is_other_work_and_goes_on_later(
    folder: Path, tmp_path: Path
) -> None:
    memory = plan_memory(open_checkpoint(folder), MemoryOptions(reuse_prefixes=True))
    memory.marks = MARKS
    model = load_model(folder).model
    for first in (7, 8, 9):
        prompt = [first, *PROMPT]
        cache = memory.new_cache(model)
        mx.eval(model(mx.array([prompt]), cache))
        memory.keep_prompt(prompt, cache, 0)
    asked = 0

    def is_idle() -> bool:
        nonlocal asked
        asked += 1
        return asked != interrupted

    arrays = 2 * SMALL.n_layers
    # Asked before each prompt, and before each array of it: here in the middle of the second.
    interrupted = (1 + arrays) + 1 + arrays // 2
    memory.write_prompts(is_idle)
    assert asked == interrupted
    written = tmp_path / "prefixes"
    assert sorted(path.suffix for path in written.iterdir()) == [".json", ".safetensors"]
    memory.write_prompts()
    assert len(list(written.glob("*.json"))) == 3 and len(list(written.iterdir())) == 6


def test_a_draft_models_weights_and_kv_are_in_the_plan(folder: Path) -> None:
    checkpoint = open_checkpoint(folder)
    alone, beside = (
        plan_memory(
            checkpoint,
            MemoryOptions(context_tokens=512, draft_bytes=weights, draft_token_bytes=token),
        ).plan
        for weights, token in ((0, 0), (1000, 40.0))
    )
    assert beside.peak_bytes - alone.peak_bytes == 1000 + 512 * 40
