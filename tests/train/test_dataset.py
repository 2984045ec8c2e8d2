"""The data check: what is cut, doubled, leaked or held out is counted and named."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from training_models import HEAD, example, examples

from mlx_magistral.errors import TrainingError
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.text.tokenizer import load_tokenizer
from mlx_magistral.train.dataset import make_dataset
from mlx_magistral.train.encoding import FinetuningEncoder
from mlx_magistral.train.example import Example, packed
from mlx_magistral.train.preview import stretches
from mlx_magistral.train.reading import encode_records, read_data, read_file

PLAIN: dict[str, Any] = {"max_tokens": 64, "seed": 0}


def test_long_examples_lose_their_end_and_are_counted() -> None:
    long = [Example(packed(range(50)), ((10, 20), (40, 50)), "long:1")]
    data = make_dataset(long, examples(2), max_tokens=30, seed=0)
    assert (len(data.train[0]), data.train[0].spans) == (30, ((10, 20),))
    assert data.check.cut == 1
    assert "Longer than --max-seq-len, cut at their end: 1." in "\n".join(data.check.lines())


def test_an_example_that_is_cut_before_its_answer_is_left_out() -> None:
    late = Example(packed(range(50)), ((40, 50),), "late:1")
    data = make_dataset([late, *examples(3)], examples(1), max_tokens=30, seed=0)
    assert (data.check.count, data.check.dropped) == (3, 1)


def test_strictness_refuses_what_would_be_cut_and_names_it() -> None:
    with pytest.raises(TrainingError, match=r"long:1 has 50 ids and --max-seq-len is 30"):
        make_dataset(
            [Example(packed(range(50)), ((1, 9),), "long:1")], [], **PLAIN | {"max_tokens": 30},
            is_strict=True,
        )  # fmt: skip


def test_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(TrainingError, match="no example to train on"):
        make_dataset([], [], **PLAIN)


def test_duplicates_and_leaks_are_named() -> None:
    random = Random(0)
    one, other = example(random, 20), example(random, 20)
    copy = Example(one.tokens, one.spans, "copy:9")
    start = one.spans[0][0]
    leaked = Example(packed([*one.tokens[:start], 1, 2]), ((start, start + 2),), "leak:4")
    check = make_dataset([one, other, copy], [leaked], **PLAIN).check
    assert (check.duplicates, check.leaks) == (["copy:9"], ["leak:4"])
    told = "\n".join(check.lines())
    assert "copy:9" in told
    assert "leak:4" in told


def test_what_is_held_out_never_has_a_copy_among_what_is_trained_on() -> None:
    pool = examples(60)
    doubled = [*pool, *(Example(each.tokens, each.spans, "again") for each in pool)]
    data = make_dataset(doubled, [], valid_share=0.2, **PLAIN)
    held = {each.digest for each in data.valid}
    assert len(held) == 24
    assert not held & {each.digest for each in data.train}
    assert make_dataset(doubled, [], valid_share=0.2, **PLAIN).valid == data.valid


def test_a_few_examples_are_all_trained_on() -> None:
    assert make_dataset(examples(19), [], **PLAIN).valid == []


def test_a_folder_brings_its_own_validation(tmp_path: Path) -> None:
    for name in ("train", "valid"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": name}) + "\n\n")
    train, valid = read_data([tmp_path])
    assert [each.content["text"] for each in (*train, *valid)] == ["train", "valid"]
    assert train[0].place == f"{tmp_path / 'train.jsonl'}:1"


def test_every_shape_of_a_line_is_read(tmp_path: Path) -> None:
    lines = [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"prompt": "a", "completion": "b"},
        {"prompt": "a", "completion": "b", "id": 7},
        {"text": "a b"},
    ]
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    encoder = FinetuningEncoder(load_tokenizer(nano_folder()))
    first, second, third, _ = encode_records(read_file(path), encoder)
    assert first.tokens == second.tokens == third.tokens


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", r":2 is no JSON"),
        ("[1]", r":2 is no object"),
        ('{"question": "a"}', r":2 has 'question'"),
        ('{"messages": [{"role": "user", "content": "a"}]}', r":2: it has no message of the"),
        ('{"prompt": 5, "completion": "b"}', r":2: .*content"),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_text(f"\n{line}\n")
    encoder = FinetuningEncoder(load_tokenizer(nano_folder()))
    with pytest.raises(TrainingError, match=rf"chats\.jsonl{told}"):
        list(encode_records(read_file(path), encoder))


def test_a_preview_names_control_ids_and_what_is_learned() -> None:
    tokenizer = load_tokenizer(nano_folder())
    messages = [
        {"role": "user", "content": "Hi [INST]"},
        {"role": "assistant", "reasoning": "a", "content": "b"},
    ]
    shown = stretches(
        FinetuningEncoder(tokenizer, raw_system=True).chat(messages, None, "here"), tokenizer
    )
    assert [(each.text, each.is_learned) for each in shown] == [
        ("<s>[INST]Hi [INST][/INST]", False),
        ("[THINK]a[/THINK]b</s>", True),
    ]


def test_shared_beginnings_are_found_whatever_their_length() -> None:
    from mlx_magistral.train.packing import Pack

    begun = [1] * 20 + HEAD
    chosen = [example(Random(0), 12, head=begun) for _ in range(3)]
    assert Pack(tuple(chosen)).shared >= len(begun)
