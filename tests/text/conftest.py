"""Tokenizer folders made of mistral-common's own vocabulary: the whole of it, and a small prefix.

Magistral's vocabulary is the first 130,072 ranks of tekken_240911.json under 1,000 control ids. A
shorter prefix of the ranks is a valid tokenizer too, with the same control ids and the same layout.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mistral_common
import pytest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer

NAMED_CONTROLS = {
    **dict(enumerate("<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS]".split())),
    **dict(enumerate("[TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] [IMG] <pad>".split(), 7)),
    **dict(enumerate("[IMG_BREAK] [IMG_END] [PREFIX] [MIDDLE] [SUFFIX]".split(), 12)),
    **dict(enumerate("[SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]".split(), 17)),
    **dict(enumerate("[ARGS] [CALL_ID] [THINK] [/THINK]".split(), 32)),
}

MakeFolder = Callable[..., Path]


def tekken(source: dict[str, Any], vocabulary: int, controls: int) -> dict[str, Any]:
    """A v13 tekken document with so many ids, of which so many are control ids."""
    size = vocabulary - controls
    special_tokens = [
        {"rank": rank, "token_str": NAMED_CONTROLS.get(rank, f"<SPECIAL_{rank}>")}
        for rank in range(controls)
    ]
    return {
        "config": {
            "pattern": source["config"]["pattern"],
            "num_vocab_tokens": size,
            "default_vocab_size": vocabulary,
            "default_num_special_tokens": controls,
            "version": "v13",
        },
        "vocab": source["vocab"][:size],
        "special_tokens": [{**token, "is_control": True} for token in special_tokens],
    }


@pytest.fixture(scope="session")
def source() -> dict[str, Any]:
    path = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


@pytest.fixture(scope="session")
def small_document(source: dict[str, Any]) -> dict[str, Any]:
    return tekken(source, 2048, 64)


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory, small_document: dict[str, Any]) -> Path:
    return _write(tmp_path_factory.mktemp("small"), small_document)


@pytest.fixture(scope="session")
def full_folder(tmp_path_factory: pytest.TempPathFactory, source: dict[str, Any]) -> Path:
    return _write(tmp_path_factory.mktemp("full"), tekken(source, 131_072, 1000))


@pytest.fixture(scope="session")
def tokenizer(small_folder: Path) -> Tokenizer:
    return load_tokenizer(small_folder)


@pytest.fixture(scope="session")
def full_tokenizer(full_folder: Path) -> Tokenizer:
    return load_tokenizer(full_folder)


@pytest.fixture(scope="session")
def reference(small_folder: Path) -> MistralTokenizer[Any, Any, Any, Any, Any]:
    """mistral-common's own loader and encoder on the same file."""
    return MistralTokenizer.from_file(small_folder / "tekken.json")


@pytest.fixture
def make_folder(tmp_path: Path, small_document: dict[str, Any]) -> MakeFolder:
    """A folder whose small tekken.json has some top-level keys replaced, and maybe a prompt."""

    def make(system_prompt: str | bytes | None = None, **changes: Any) -> Path:
        document = {**small_document, **changes}
        _write(tmp_path, {key: value for key, value in document.items() if value is not None})
        if system_prompt is not None:
            if isinstance(system_prompt, str):
                system_prompt = system_prompt.encode()
            (tmp_path / "SYSTEM_PROMPT.txt").write_bytes(system_prompt)
        return tmp_path

    return make


def _write(folder: Path, document: dict[str, Any]) -> Path:
    (folder / "tekken.json").write_text(json.dumps(document), encoding="utf-8")
    return folder
