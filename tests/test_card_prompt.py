"""The request of the model card's snippets gives mistral-common's ids, wherever it comes in."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

from mlx_magistral import Magistral
from mlx_magistral.cli.main import main
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.server.app import make_app
from mlx_magistral.server.batching import make_backend
from mlx_magistral.text.tokenizer import Tokenizer

QUESTION = "What is 37 + 48?"
USER = {"role": "user", "content": QUESTION}


def card_system() -> dict[str, Any]:
    """What ``load_system_prompt`` of the card makes of SYSTEM_PROMPT.txt."""
    text = (nano_folder() / "SYSTEM_PROMPT.txt").read_text("utf-8")
    first, _, rest = text.partition("[THINK]")
    thinking, _, last = rest.partition("[/THINK]")
    content = [
        {"type": "text", "text": first},
        {"type": "thinking", "thinking": thinking, "closed": True},
        {"type": "text", "text": last},
    ]
    return {"role": "system", "content": content}


SYSTEM = card_system()
PARTS = SYSTEM["content"]
TEXT = (nano_folder() / "SYSTEM_PROMPT.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def card_ids() -> list[int]:
    reference: Any = MistralTokenizer.from_file(nano_folder() / "tekken.json")
    request: ChatCompletionRequest[Any] = ChatCompletionRequest.from_openai([SYSTEM, USER])
    ids: list[int] = reference.encode_chat_completion(request).tokens
    assert len(ids) == 145
    return ids


@pytest.fixture(scope="module")
def nano() -> Magistral:
    return Magistral.load("nano")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The ids of every prompt that is made."""
    found: list[list[int]] = []
    encode = Tokenizer.encode_chat

    def recorded(self: Tokenizer, *args: Any, **options: Any) -> list[int]:
        found.append(encode(self, *args, **options))
        return found[-1]

    monkeypatch.setattr(Tokenizer, "encode_chat", recorded)
    return found


def by_python(model: Magistral, path: Path, system: Any) -> None:
    model.generate([{"role": "system", "content": system}, USER], max_tokens=1)


def by_generate(model: Magistral, path: Path, system: Any) -> None:
    command(["generate", "-m", "nano", "--system", system, "--max-tokens", "1", QUESTION])


def by_session(model: Magistral, path: Path, system: Any) -> None:
    flags = ["--session", "card", "--system", system, "--max-tokens", "1"]
    command(["generate", "-m", "nano", *flags, QUESTION], MLX_MAGISTRAL_DATA=str(path))


def by_chat(model: Magistral, path: Path, system: Any) -> None:
    flags = ["--no-log", "--system", system, "--max-tokens", "1"]
    command(["chat", "-m", "nano", *flags], f"{QUESTION}\n")


def command(arguments: list[str], stdin: str = "", **environment: str) -> None:
    result = CliRunner().invoke(main, arguments, input=stdin, env=environment)
    assert result.exit_code == 0, result.stderr


def by_chat_completions(model: Magistral, path: Path, system: Any) -> None:
    messages = [{"role": "system", "content": system}, USER]
    post(model, "/v1/chat/completions", {"messages": messages, "max_tokens": 1})


def by_tokenize(model: Magistral, path: Path, system: Any) -> None:
    post(model, "/tokenize", {"messages": [{"role": "system", "content": system}, USER]})


def by_responses(model: Magistral, path: Path, system: Any) -> None:
    given = [{"role": "system", "content": system}, USER]
    post(model, "/v1/responses", {"input": given, "max_output_tokens": 1})


def by_instructions(model: Magistral, path: Path, system: Any) -> None:
    body = {"instructions": system, "input": QUESTION, "max_output_tokens": 1}
    post(model, "/v1/responses", body)


def by_messages(model: Magistral, path: Path, system: Any) -> None:
    post(model, "/v1/messages", {"system": system, "messages": [USER], "max_tokens": 1})


def by_count_tokens(model: Magistral, path: Path, system: Any) -> None:
    post(model, "/v1/messages/count_tokens", {"system": system, "messages": [USER]})


def post(model: Magistral, path: str, body: dict[str, Any]) -> None:
    backend = make_backend(model)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(make_app(backend))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post(path, json={"model": "nano", **body})

    try:
        response = asyncio.run(send())
    finally:
        backend.close(0)
    assert response.status_code == 200, response.text


TAKING_PARTS = [
    by_python,
    by_chat_completions,
    by_tokenize,
    by_responses,
    by_messages,
    by_count_tokens,
]
TAKING_TEXT = [*TAKING_PARTS, by_generate, by_session, by_chat, by_instructions]


@pytest.mark.parametrize("ask", TAKING_PARTS, ids=lambda ask: ask.__name__)
def test_the_cards_parts_are_sent_as_given(
    ask: Callable[..., None],
    nano: Magistral,
    encoded: list[list[int]],
    tmp_path: Path,
    card_ids: list[int],
) -> None:
    ask(nano, tmp_path, PARTS)
    assert encoded == [card_ids]


@pytest.mark.parametrize("ask", TAKING_TEXT, ids=lambda ask: ask.__name__)
def test_the_files_text_is_the_official_prompt(
    ask: Callable[..., None],
    nano: Magistral,
    encoded: list[list[int]],
    tmp_path: Path,
    card_ids: list[int],
) -> None:
    ask(nano, tmp_path, TEXT)
    assert encoded == [card_ids]


@pytest.mark.parametrize("ask", TAKING_TEXT, ids=lambda ask: ask.__name__)
def test_what_follows_the_official_prompt_is_kept_after_it(
    ask: Callable[..., None], nano: Magistral, encoded: list[list[int]], tmp_path: Path
) -> None:
    ask(nano, tmp_path, f"{TEXT}\n\nBe brief.")
    own = nano.tokenizer.encode_chat([{"role": "system", "content": "Be brief."}, USER])
    assert encoded == [own, own]
