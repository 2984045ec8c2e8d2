"""A head is trained from prompts to a folder that drafts; killed at any time it goes on alike."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from mlx_magistral import Magistral
from mlx_magistral.errors import TrainingError
from mlx_magistral.model.eagle.reading import is_head_folder, load_head
from mlx_magistral.train import loop
from mlx_magistral.train.drafter import trainer as trainer_module
from mlx_magistral.train.drafter.job import DrafterJob, DrafterRequest
from mlx_magistral.train.drafter.options import DrafterOptions
from mlx_magistral.train.drafter.replies import FILE, ReplyOptions
from mlx_magistral.train.drafter.watcher import DrafterWatcher
from mlx_magistral.train.history import History, StepRecord
from mlx_magistral.train.reading import Record

QUESTIONS = ["What is 37 + 48?", "Sort 5, 3, 9.", "What is 9 * 12?", "What is 60 - 7?"]
STEPS = 6


class Killed(Exception):
    """The process is gone: nothing after this is run."""


class KillAt(DrafterWatcher):
    def __init__(self, step: int = 0, replies: int = 0) -> None:
        self._step, self._replies = step, replies
        self.replies_made = 0

    def stepped(self, record: StepRecord, history: History) -> None:
        if record.step == self._step:
            raise Killed

    def replied(self, replies: int, prompts: int, tokens: int) -> None:
        self.replies_made += 1
        if replies == self._replies:
            raise Killed


@pytest.fixture(scope="module", autouse=True)
def few_steps() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setattr("mlx_magistral.train.drafter.job._FEWEST_STEPS", STEPS)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def replies(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The lines of the replies, made once."""
    folder = tmp_path_factory.mktemp("first")
    with pytest.raises(Killed):
        DrafterJob(request_for(folder)).run(KillAt(step=1))
    return (folder / "training" / FILE).read_text()


def request_for(folder: Path, questions: list[str] = QUESTIONS, **changes: Any) -> DrafterRequest:
    options = DrafterOptions(
        unroll=3,
        pack_tokens=512,
        draft_vocab=256,
        hidden_dim=64,
        learning_rate=2e-3,
        eval_every=3,
        save_every=2,
    )
    records = [Record({"prompt": each}, f"q:{n}") for n, each in enumerate(questions, 1)]
    request = DrafterRequest(
        "nano",
        records,
        folder,
        options,
        ReplyOptions(temperature=0, max_tokens=40, width=4),
        tokens=1,
        valid_share=0.25,
    )
    return replace(request, **changes)


def started(folder: Path, replies: str) -> Path:
    """A folder whose replies are all there."""
    (folder / "training").mkdir(parents=True)
    (folder / "training" / FILE).write_text(replies)
    return folder


def test_a_trained_head_drafts_and_its_card_says_what_it_is(tmp_path: Path, replies: str) -> None:
    folder = started(tmp_path / "nano-head", replies)
    history = DrafterJob(request_for(folder)).run(DrafterWatcher())
    assert [each.step for each in history.steps] == list(range(1, STEPS + 1))
    assert history.steps[-1].loss < history.steps[0].loss
    assert [each.step for each in history.valid] == [3, 6]
    assert is_head_folder(folder)
    card = (folder / "README.md").read_text()
    assert "drafts for | nano" in card and "3 replies of nano itself" in card
    best = history.best
    assert best is not None and f"{best.ids_a_pass:.2f}, after step {best.step}" in card
    assert not (folder / "training" / "states").exists()
    plain = Magistral.load("nano").generate(QUESTIONS[0], temperature=0, speculate="off")
    drafted = Magistral.load("nano", draft=folder).generate(
        QUESTIONS[0], temperature=0, speculate=3
    )
    assert (drafted.reasoning, drafted.content) == (plain.reasoning, plain.content)
    assert drafted.timings.guesses > 0


@pytest.mark.parametrize("step", [3, 5])
def test_a_killed_training_goes_on_byte_for_byte(tmp_path: Path, replies: str, step: int) -> None:
    whole, broken = started(tmp_path / "whole", replies), started(tmp_path / "broken", replies)
    expected = DrafterJob(request_for(whole)).run(DrafterWatcher())
    with pytest.raises(Killed):
        DrafterJob(request_for(broken)).run(KillAt(step=step))
    found = DrafterJob(request_for(broken)).run(DrafterWatcher())
    assert [each.loss for each in found.steps] == [each.loss for each in expected.steps]
    assert found.valid == expected.valid
    ours, theirs = broken / "model.safetensors", whole / "model.safetensors"
    assert ours.read_bytes() == theirs.read_bytes()
    with pytest.raises(TrainingError, match="has ended already, after 6 steps"):
        DrafterJob(request_for(broken)).run(DrafterWatcher())


def test_replies_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    request = request_for(tmp_path, QUESTIONS, tokens=10_000)
    with pytest.raises(Killed):
        DrafterJob(request).run(KillAt(replies=2))
    path = tmp_path / "training" / FILE
    kept = path.read_text().splitlines()
    path.write_text("\n".join(kept) + "\n[3, [1, 2")  # cut off by the kill
    again = KillAt(step=1)
    with pytest.raises(Killed):
        DrafterJob(request).run(again)
    assert again.replies_made == len(QUESTIONS) - len(kept)
    lines = [json.loads(each) for each in path.read_text().splitlines()]
    assert sorted(number for number, *_ in lines) == [0, 1, 2, 3]


def test_another_training_in_the_folder_is_refused_by_what_differs(
    tmp_path: Path, replies: str
) -> None:
    folder = started(tmp_path, replies)
    with pytest.raises(Killed):
        DrafterJob(request_for(folder)).run(KillAt(step=3))
    other = request_for(folder)
    with pytest.raises(TrainingError, match="its learning_rate is"):
        changed = replace(other.options, learning_rate=1.0)
        DrafterJob(replace(other, options=changed)).run(DrafterWatcher())
    with pytest.raises(TrainingError, match="its prompts is"):
        DrafterJob(request_for(folder, QUESTIONS[:2])).run(DrafterWatcher())
    with pytest.raises(Killed):
        DrafterJob(request_for(folder, QUESTIONS[:2])).run(KillAt(replies=1), restart=True)
    assert len((folder / "training" / FILE).read_text().splitlines()) == 1


def test_without_a_usable_reply_it_says_so(tmp_path: Path) -> None:
    request = request_for(tmp_path, ["Hi " * 5000])
    with pytest.raises(
        TrainingError, match="No prompt brought a reply to learn from. The first: q:1"
    ):
        DrafterJob(request).run(DrafterWatcher())


def test_a_single_reply_is_learned_and_none_is_held_out(tmp_path: Path) -> None:
    history = DrafterJob(request_for(tmp_path, QUESTIONS[:1])).run(DrafterWatcher())
    assert not history.valid and is_head_folder(tmp_path)
    assert "not measured" in (tmp_path / "README.md").read_text()


def test_states_take_no_more_of_the_disk_than_was_given(tmp_path: Path, replies: str) -> None:
    folder, most = started(tmp_path, replies), 300_000
    with pytest.raises(Killed):
        DrafterJob(request_for(folder, disk_bytes=most)).run(KillAt(step=4))
    held = sum(each.stat().st_size for each in (folder / "training" / "states").iterdir())
    assert 0 < held <= most * 1.01


def test_a_disk_that_fills_ends_it_with_one_line_and_nothing_is_lost(
    tmp_path: Path, replies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = started(tmp_path / "full", replies)

    def full(folder: Path, state: Any) -> None:
        raise TrainingError("training.safetensors cannot be written: No space left on device.")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_state", full)
        with pytest.raises(TrainingError, match="No space left"):
            DrafterJob(request_for(folder)).run(DrafterWatcher())
    assert len(DrafterJob(request_for(folder)).run(DrafterWatcher()).steps) == STEPS


def test_hours_become_steps_that_a_resumed_training_keeps(
    tmp_path: Path, replies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = started(tmp_path, replies)
    request = request_for(folder, tokens=None, hours=0.5)
    monkeypatch.setattr(trainer_module.DrafterTrainer, "seconds_a_step", lambda self, packs: 200.0)
    with pytest.raises(Killed):
        DrafterJob(request).run(KillAt(step=2))
    progress = json.loads((folder / "training" / "progress.json").read_text())
    assert progress["steps"] in (7, 8)
    monkeypatch.setattr(trainer_module.DrafterTrainer, "seconds_a_step", lambda self, packs: 1.0)
    assert len(DrafterJob(request).run(DrafterWatcher()).steps) == progress["steps"]


def test_a_heads_columns_are_what_replies_say_most(tmp_path: Path, replies: str) -> None:
    folder = started(tmp_path, replies)
    job = DrafterJob(request_for(folder))
    job.run(DrafterWatcher())
    head = load_head(folder, job.checkpoint.config, dtype=mx.float32)
    assert head.targets is not None and head.targets.shape == (256,)
    columns: Any = head.targets.tolist()
    lines = [json.loads(each) for each in replies.splitlines()]
    said = {token for _, tokens, prompt in lines[1:3] for token in tokens[prompt:]}
    assert len(said & set(columns)) > 0.9 * len(said)
