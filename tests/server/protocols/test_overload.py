"""What real clients make of refusals: they wait as they are told and ask again, or say why not."""

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from server.collecting import Asked
from server_fakes import TOO_LONG, FakeBackend

from mlx_magistral import Magistral
from mlx_magistral.errors import MagistralError, OverloadedError, QueueFullError
from mlx_magistral.server.backend import Backend
from mlx_magistral.server.batching import make_backend

from .conftest import serving

MESSAGES: list[Any] = [{"role": "user", "content": "hi"}]
BUSY = [(QueueFullError("Full.", 3), 429), (OverloadedError("No memory.", 3), 503)]


def by_openai(url: str, retries: int = 2, **options: Any) -> Any:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=retries)
    return client.chat.completions.create(model="any", messages=MESSAGES, **options)


def by_anthropic(url: str, retries: int = 2) -> Any:
    client = anthropic.Anthropic(base_url=url, api_key="none", max_retries=retries)
    return client.messages.create(model="any", messages=MESSAGES, max_tokens=9)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long a client would have waited before it asked again."""
    waits: list[float] = []
    for module in (openai, anthropic):
        client = module._base_client.SyncAPIClient  # type: ignore[attr-defined]
        monkeypatch.setattr(
            client,
            "_sleep_for_retry",
            lambda self, *, response, options, **rest: waits.append(
                self._calculate_retry_timeout(2, options, response and response.headers)
            ),
        )
    return waits


@pytest.mark.parametrize("ask", [by_openai, by_anthropic])
@pytest.mark.parametrize(("refusal", "status"), BUSY)
def test_clients_come_back_when_they_are_told_to(
    ask: Any, refusal: MagistralError, status: int, fake: FakeBackend, fake_url: str, slept: Any
) -> None:
    fake.refusals = [refusal, refusal]
    assert ask(fake_url).id
    assert slept == [3, 3] and len(fake.requests) == 1


@pytest.mark.parametrize("ask", [by_openai, by_anthropic])
@pytest.mark.parametrize(("refusal", "status"), BUSY)
def test_who_does_not_come_back_sees_why(
    ask: Any, refusal: MagistralError, status: int, fake: FakeBackend, fake_url: str
) -> None:
    fake.refusals = [refusal]
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
        ask(fake_url, 0)
    error: Any = caught.value
    assert error.status_code == status and str(refusal) in str(error)
    assert error.response.headers["retry-after"] == "3"
    is_limit = isinstance(error, openai.RateLimitError | anthropic.RateLimitError)
    assert is_limit == (status == 429)


def test_what_can_never_fit_is_no_reason_to_come_back(fake: FakeBackend, fake_url: str) -> None:
    fake.refusal = TOO_LONG
    with pytest.raises(openai.BadRequestError, match="200 tokens.*context holds 100") as caught:
        by_openai(fake_url)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long: .*200"):
        by_anthropic(fake_url)
    fake.refusal = None
    fake.places = 3
    with pytest.raises(openai.BadRequestError, match="4 replies.*3 at most") as caught:
        by_openai(fake_url, n=4)
    assert caught.value.param == "n"


@pytest.fixture
def full(endless: Magistral) -> Iterator[Backend]:
    """A backend with one reply on its way, one that waits, and no place more."""
    backend = make_backend(endless, max_batch=1, max_queue=1)
    try:
        asked = [Asked(backend, "x", temperature=0, on_loop="off") for _ in range(2)]
        asked[0].has_begun.wait(60)
        yield backend
    finally:
        backend.close(0)


def test_a_full_queue_is_429_and_frees_itself(full: Backend) -> None:
    with serving(full) as url:
        with pytest.raises(openai.RateLimitError, match="1 replies are waiting") as caught:
            by_openai(url, 0)
        assert 1 <= int(caught.value.response.headers["retry-after"]) <= 60
        assert caught.value.code == "rate_limit_exceeded"
        with pytest.raises(openai.BadRequestError):
            by_openai(url, 0, n=3)


def test_a_server_that_drains_is_503(full: Backend) -> None:
    with serving(full) as url:
        full.close(0)
        with pytest.raises(openai.InternalServerError, match="shutting down") as caught:
            by_openai(url, 0)
        assert caught.value.status_code == 503 and caught.value.response.headers["retry-after"]
