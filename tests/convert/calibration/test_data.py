"""Files and built-in text to token rows, with the errors a wrong file deserves."""

import json
from pathlib import Path

import pytest

from magistral_convert.calibration.built_in import built_in_documents
from magistral_convert.calibration.data import read_documents, token_sequences
from magistral_convert.calibration.text_choice import choose_text
from mlx_magistral.errors import ConversionError
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """The embedded model's."""
    return load_tokenizer(nano_folder())


def _lines(path: Path, *documents: object) -> Path:
    path.write_text("\n".join(json.dumps(document) for document in documents), "utf-8")
    return path


def test_text_becomes_one_document(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "text.txt"
    path.write_text("What is 37 + 48?", "utf-8")
    rows = token_sequences(read_documents(path), tokenizer, limit=100)
    assert rows.tokens.tolist() == [[tokenizer.bos_id, *tokenizer.encode("What is 37 + 48?")]]


def test_a_conversation_is_encoded_as_the_model_writes_it(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    question = {"role": "user", "content": "What is 2 + 2?"}
    answer = {"role": "assistant", "reasoning": "2 + 2 = 4", "content": "4"}
    path = _lines(tmp_path / "chat.jsonl", {"messages": [question, answer]})
    (row,) = token_sequences(read_documents(path), tokenizer, limit=1000).tokens.tolist()
    think, unthink = (tokenizer.control_id(name) for name in ("[THINK]", "[/THINK]"))
    written = [think, *tokenizer.encode("2 + 2 = 4"), unthink, *tokenizer.encode("4")]
    assert row == [*tokenizer.encode_chat([question]), *written, tokenizer.eos_id]


def test_ids_need_no_tokenizer_and_rows_are_whole(tmp_path: Path) -> None:
    path = _lines(tmp_path / "ids.jsonl", {"tokens": [1, 2, 3]}, {"tokens": [4, 5, 6, 7]})
    rows = token_sequences(read_documents(path), None, limit=100, length=3)
    assert rows.tokens.tolist() == [[1, 2, 3], [4, 5, 6]]
    fewer = token_sequences(read_documents(path), None, limit=4, length=3)
    assert fewer.tokens.tolist() == [[1, 2, 3]]


def test_each_id_has_the_kind_of_its_document(tmp_path: Path) -> None:
    path = _lines(tmp_path / "ids.jsonl", {"tokens": [1, 2]}, {"tokens": [3, 4], "kind": "poems"})
    rows = token_sequences(read_documents(path), None, limit=3, length=3)
    assert rows.kinds.tolist() == [["tokens", "tokens", "poems"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "line 1 is no JSON"),
        ('{"tokens": [1, 2]}\n{"other": 1}', "line 2 has none of"),
        ('{"text": "a"}', "no tekken.json"),
        ('{"tokens": [1]}', "holds no tokens"),
        ("", "holds no tokens"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(content)
    with pytest.raises(ConversionError, match=message):
        token_sequences(read_documents(path), None, limit=100)


def test_a_conversation_without_a_question_names_its_document(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    path = _lines(tmp_path / "chat.jsonl", {"messages": [{"role": "assistant", "content": "4"}]})
    with pytest.raises(ConversionError, match="Document 1 cannot be encoded"):
        token_sequences(read_documents(path), tokenizer, limit=100)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ConversionError, match="cannot be read as UTF-8"):
        read_documents(tmp_path / "data.txt")


def test_the_built_in_text_is_the_same_each_time_and_mixes_its_kinds() -> None:
    documents = built_in_documents()
    assert documents == built_in_documents()
    kinds = ["messages" in document for document in documents[:20]]
    assert sum(kinds) == 10
    text = json.dumps(documents, ensure_ascii=False)
    assert len(text) > 300_000
    for word in ("passagers", "pasajeros", "Fahrgästen", "passengers", "def "):
        assert word in text


def test_a_model_folder_is_enough(tokenizer: Tokenizer) -> None:
    text = choose_text(nano_folder(), None, limit=4096)
    rows = text.tokens
    assert set(text.kinds.reshape(-1)) == {"reasoning", "prose", "code"}
    assert rows.shape == (4, 1024)
    assert rows.min() >= 0
    assert rows.max() < tokenizer.vocab_size
