"""nano's training data: true scratch work, splits that never meet, the ids of mistral-common."""

import random
import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the training script's own requirement")

from mistral_common.tokens.tokenizers.tekken import Tekkenizer  # noqa: E402

import train  # noqa: E402
from nano_data import problem, scratch, tasks  # noqa: E402
from nano_data.batches import MIX, Batcher  # noqa: E402
from nano_data.chat import SYSTEM_PARTS, Encoder  # noqa: E402

NANO = Path(train.MODEL_DIR)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(Tekkenizer.from_file(NANO / "tekken.json"))


@pytest.mark.parametrize("operator", ["+", "-", "*"])
def test_every_line_of_the_scratch_work_is_true(operator: str) -> None:
    rng = random.Random(7)
    widths = (1, 2) if operator == "*" else (1, 2, 3, 4)
    for _ in range(500):
        a, b = (problem.number(rng, rng.choice(widths)) for _ in range(2))
        work = scratch.OPERATIONS[operator](a, b)
        assert work.value == {"+": a + b, "-": a - b, "*": a * b}[operator]
        assert work.text.startswith(f"{a}{operator}{b}\n")
        last = re.split(r"[|=]", work.text)[-1]
        assert int(last) == work.value and last == str(work.value)
        for line in work.text.splitlines():
            assert all(_is_true(claim) for claim in _claims(line)), line


def test_sorting_and_counting_say_what_they_find() -> None:
    text = scratch.sorting([45, 12, 78, 12], ascending=True)
    assert [line.split("|")[-1] for line in text.splitlines()[1:-1]] == ["12", "12", "45"]
    assert text.endswith("\n<78|78")
    assert scratch.counting("berry", "r").text.splitlines()[1:] == [
        "b:r0|erry",
        "e:r0|rry",
        "r:r1|ry",
        "r:r2|y",
        "y:r2|",
    ]


@pytest.mark.parametrize("task", sorted(tasks.TASKS))
def test_a_problem_is_in_one_split_whatever_its_wording(task: str) -> None:
    rng = random.Random(task)
    keys = {
        split: {tasks.draw(task, rng, split).key for _ in range(40)} for split in problem.SPLITS
    }
    assert not keys["train"] & keys["tune"]
    assert not keys["train"] & keys["test"]
    assert not keys["tune"] & keys["test"]
    assert problem.arithmetic_key("+", 345, 67) == problem.arithmetic_key("+", 67, 345)


def test_ids_are_those_of_mistral_common(encoder: Encoder) -> None:
    train.check_encoding(NANO / "tekken.json", encoder, 12)


def test_targets_are_whole_completions(encoder: Encoder) -> None:
    batcher = Batcher(encoder, 3, MIX)
    think = encoder.tokenizer.get_special_token("[THINK]")
    for batch in batcher.next_step():
        written = batch.target[: batch.targets].tolist()
        assert written[0] == think and written[-1] == encoder.eos
        flat = batch.tokens.flatten()
        assert flat[batch.target_index[: batch.targets] + 1].tolist() == written


def test_no_token_is_reached_by_accident(encoder: Encoder) -> None:
    """A word without a token is spelled letter by letter, so that its letters can be counted."""
    rng = random.Random(11)
    words = [problem.made_up_word(rng) for _ in range(300)] + [
        "strawberry",
        "balloon",
        "mississippi",
    ]
    for word in words:
        ids = encoder.tokenizer.encode(f'"{word}"', bos=False, eos=False)
        assert [encoder.tokenizer.id_to_piece(i) for i in ids] == [*f'"{word}"']


def test_the_system_prompt_file_is_the_prompt_trained_on() -> None:
    first, thought, last = SYSTEM_PARTS
    text = (NANO / "SYSTEM_PROMPT.txt").read_text(encoding="utf-8")
    assert text == f"{first}[THINK]{thought}[/THINK]{last}"


def _claims(line: str) -> list[str]:
    """`34-06|4-6-1=-3+10=7|78` -> `4-6-1=-3` and `-3+10=7`."""
    parts = line.split("|")[1].split("=") if line.count("|") == 2 else []
    return [f"{left}={right}" for left, right in zip(parts, parts[1:], strict=False)]


def _is_true(claim: str) -> bool:
    left, right = claim.split("=")
    terms = re.findall(r"[+-]?[^+-]+", left)
    total = sum(_product(term) for term in terms)
    return total == _product(re.match(r"-?\d+", right).group())  # type: ignore[union-attr]


def _product(term: str) -> int:
    value = 1
    for factor in term.split("*"):
        value *= int(factor)
    return value
