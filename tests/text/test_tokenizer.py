"""Loading a tekken.json, and ids to text and back."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from mlx_magistral.errors import PromptError, TokenizerError
from mlx_magistral.text.tekken import load_tekkenizer
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer

TEXT = "Combien font 37 + 48 ? Réponse : $\\boxed{85}$.\n\tПривет, 世界! 👩‍👩‍👧 \x00 [THINK]"


def test_full_vocabulary_equals_mistral_commons_own_load(full_folder: Path) -> None:
    path = full_folder / "tekken.json"
    ours, plain = load_tekkenizer(path), Tekkenizer.from_file(path)
    assert ours.n_words == plain.n_words == 131_072
    assert ours.vocab() == plain.vocab()
    assert ours.vocab() is ours.vocab()
    ids = range(plain.n_words)
    assert [ours.id_to_byte_piece(i) for i in ids] == [plain.id_to_byte_piece(i) for i in ids]
    assert [ours.id_to_piece(i) for i in ids] == plain.vocab()
    assert [ours.is_special(i) for i in ids] == [plain.is_special(i) for i in ids]
    assert ours.encode(TEXT, bos=True, eos=True) == plain.encode(TEXT, bos=True, eos=True)
    assert ours.file_path == plain.file_path and ours.version == plain.version


def test_full_vocabulary_gives_the_published_ids(full_tokenizer: Tokenizer) -> None:
    """Ids printed in the tests of vLLM and in the notes on Magistral's model card."""
    assert full_tokenizer.vocab_size == 131_072
    assert full_tokenizer.encode("Hello world !") == [22177, 4304, 2662]
    assert full_tokenizer.encode("[THINK]") == [1091, 12001, 57142, 1093]
    messages = [
        {"role": "system", "content": "I am an AI"},
        {"role": "user", "content": "Hello world !"},
    ]
    hello = [3, 22177, 4304, 2662, 4]
    assert full_tokenizer.encode_chat(messages[1:], raw_system=True) == [1, *hello]
    system = [17, 1073, 1855, 1420, 26554, 18]
    assert full_tokenizer.encode_chat(messages, raw_system=True) == [1, *system, *hello]


def test_control_ids_are_found_by_name(tokenizer: Tokenizer) -> None:
    names = ["<s>", "</s>", "[INST]", "[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]"]
    assert [tokenizer.control_id(name) for name in names] == [1, 2, 3, 9, 32, 34, 35]
    assert (tokenizer.bos_id, tokenizer.eos_id) == (1, 2)
    with pytest.raises(TokenizerError, match=r"no control token '\[NOPE\]'"):
        tokenizer.control_id("[NOPE]")


def test_control_ids_have_no_text(tokenizer: Tokenizer) -> None:
    assert [tokenizer.is_control(token) for token in (0, 35, 63, 64, 2047)] == [
        *[True] * 3,
        *[False] * 2,
    ]
    assert all(tokenizer.id_to_bytes(token) == b"" for token in range(64))
    assert [tokenizer.id_to_bytes(64 + byte) for byte in range(256)] == [
        bytes([byte]) for byte in range(256)
    ]
    assert tokenizer.decode([1, 34, *tokenizer.encode("a"), 35, *tokenizer.encode("b"), 2]) == "ab"


@pytest.mark.parametrize("text", [TEXT, "", " ", "</s>", "a\r\n\n", "ỗ"])
def test_decode_undoes_encode(tokenizer: Tokenizer, full_tokenizer: Tokenizer, text: str) -> None:
    for each in (tokenizer, full_tokenizer):
        tokens = each.encode(text)
        assert not any(each.is_control(token) for token in tokens)
        assert each.decode(tokens) == text
        assert b"".join(each.id_to_bytes(token) for token in tokens) == text.encode()


@pytest.mark.parametrize("token", [-1, 2048, 10**9])
def test_ids_outside_the_vocabulary(tokenizer: Tokenizer, token: int) -> None:
    with pytest.raises(TokenizerError, match=f"Id {token} is outside the vocabulary of 2,048"):
        tokenizer.id_to_bytes(token)
    if token > 0:
        with pytest.raises(TokenizerError, match="outside the vocabulary of 2,048"):
            tokenizer.decode([64, token])


def test_half_a_surrogate_is_replaced(tokenizer: Tokenizer) -> None:
    """A file name or a JSON body may hold one; UTF-8 has no bytes for it."""
    assert tokenizer.encode("a\ud800b") == tokenizer.encode("a\ufffdb")
    assert tokenizer.encode_chat("a\ud800b") == tokenizer.encode_chat("a\ufffdb")


def test_text_that_tiktoken_gives_up_on(tokenizer: Tokenizer) -> None:
    with pytest.raises(PromptError, match="Shorten its longest run"):
        tokenizer.encode(" " * 1_000_000)


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"No tekken.json in .*copy it next to the weights"):
        load_tokenizer(tmp_path)
    with pytest.raises(TokenizerError, match=r"No tekken.json in"):
        load_tokenizer(str(tmp_path / "nowhere"))
    (tmp_path / "a-file").touch()
    with pytest.raises(TokenizerError, match="cannot be read: Not a directory"):
        load_tokenizer(tmp_path / "a-file")
    (tmp_path / "tekken.json").mkdir()
    with pytest.raises(TokenizerError, match=r"tekken.json cannot be read: Is a directory"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is not JSON"),
        (b'{"config": {', "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
        (b"[]", "holds no JSON object"),
        (b"{}", "lacks 'config'"),
        (b'{"config": 3}', "is damaged"),
        (b'{"config": {"version": "v13"}}', "lacks 'special_tokens'"),
    ],
)
def test_damaged_file(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / "tekken.json").write_bytes(content)
    with pytest.raises(TokenizerError, match=complaint) as caught:
        load_tokenizer(tmp_path)
    assert str(tmp_path / "tekken.json") in str(caught.value)


def test_other_versions_are_refused(make_folder: Any, small_document: dict[str, Any]) -> None:
    config = small_document["config"]
    with pytest.raises(TokenizerError, match=r"v11 .*2506.*<think>.*Magistral-Small-2507"):
        load_tokenizer(make_folder(config={**config, "version": "v11"}))
    with pytest.raises(TokenizerError, match=r"is a v3 tokenizer, and \[THINK\] ids need v13"):
        load_tokenizer(make_folder(config={**config, "version": "v3"}))


def test_a_model_without_think_is_refused(make_folder: Any, small_document: dict[str, Any]) -> None:
    special_tokens = small_document["special_tokens"]
    with pytest.raises(TokenizerError, match=r"no control token \[THINK\]"):
        load_tokenizer(make_folder(special_tokens=special_tokens[:34]))


def test_inconsistent_vocabularies(make_folder: Any, small_document: dict[str, Any]) -> None:
    vocab = small_document["vocab"]
    swapped = [vocab[1], vocab[0], *vocab[2:]]
    not_base64 = [*vocab[:-1], {**vocab[-1], "token_bytes": "A"}]
    for broken in (vocab[:-1], swapped, not_base64, [*vocab[:-1], 7], None):
        with pytest.raises(TokenizerError, match="is damaged|lacks 'vocab'") as caught:
            load_tokenizer(make_folder(vocab=broken))
        # mistral-common's own assertion quotes the whole vocabulary.
        assert len(str(caught.value)) < 500


def test_importing_the_module_costs_nothing() -> None:
    code = (
        "import sys; import mlx_magistral.text.tokenizer, mlx_magistral.text.reasoning;"
        "print([m for m in ('mlx', 'mistral_common', 'pydantic', 'numpy') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root
    )
    assert result.stdout.strip() == "[]"
