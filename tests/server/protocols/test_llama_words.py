"""How far a streamed reply is, as llama.cpp's clients read it."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
from openai import OpenAI
from server_fakes import FakeBackend, FakeTicket

from mlx_magistral.events import ContentDelta, Finished, FinishReason, Progress, Timings, Usage
from mlx_magistral.server.backend import GenerationRequest, OnEvent

from .conftest import serving

QUESTION = [{"role": "user", "content": "What is 37 + 48?"}]


def chunks(url: str, **fields: Any) -> Iterator[dict[str, Any]]:
    body = {"model": "x", "messages": QUESTION, "stream": True, **fields}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=60) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                yield json.loads(line[6:])


def test_timings_count_up_to_the_usage_and_are_not_sent_unasked(nano_url: str) -> None:
    asked = list(
        chunks(nano_url, timings_per_token=True, stream_options={"include_usage": True}, seed=1)
    )
    usage = asked[-1]["usage"]
    timings = [chunk["timings"] for chunk in asked[:-1]]
    counts = [each["predicted_n"] for each in timings]
    assert counts == sorted(counts)
    assert counts[-1] == usage["completion_tokens"]
    last = timings[-1]
    assert last["prompt_n"] + last["cache_n"] == usage["prompt_tokens"]
    assert last["prompt_ms"] > 0 and last["predicted_ms"] > 0
    rate = 1000 * (last["predicted_n"] - 1) / last["predicted_ms"]
    assert abs(last["predicted_per_second"] / rate - 1) < 1e-6
    assert not any("timings" in chunk for chunk in chunks(nano_url, seed=1))


def test_the_openai_client_reads_such_a_stream(nano_url: str) -> None:
    with OpenAI(base_url=f"{nano_url}/v1", api_key="none") as client:
        stream = client.chat.completions.create(
            model="nano",
            messages=QUESTION,  # type: ignore[arg-type]
            stream=True,
            temperature=0,
            extra_body={"timings_per_token": True, "return_progress": True},
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert "85" in text


class _Reading(FakeBackend):
    """Reads its prompt in three steps, each seen before the next."""

    def submit(self, request: GenerationRequest, on_event: OnEvent) -> FakeTicket:
        ticket = FakeTicket()
        ticket.progress = Progress(900, 100, 100, 0.5, 0, 0.0)
        self.seen = threading.Semaphore(0)

        def read() -> None:
            for processed in (100, 500, 900):
                ticket.progress = Progress(900, 100, processed, 0.5, 0, 0.0)
                self.seen.acquire(timeout=30)
            ticket.progress = Progress(900, 100, 900, 1.0, 1, 0.0)
            on_event(ContentDelta("85"))
            on_event(Finished(FinishReason.STOP, Usage(900, 1, 0), Timings(0, 1, 0, 0, 0)))

        threading.Thread(target=read).start()
        return ticket


def test_the_prompts_reading_is_told_while_it_lasts() -> None:
    backend = _Reading()
    seen: list[int] = []
    with serving(backend, keep_alive_s=0.01) as url:
        for chunk in chunks(url, return_progress=True):
            if progress := chunk.get("prompt_progress"):
                assert chunk["choices"][0]["delta"] == {}
                assert (progress["total"], progress["cache"]) == (900, 100)
                if progress["processed"] not in seen:
                    seen.append(progress["processed"])
                    backend.seen.release()
    assert seen == [100, 500, 900]


def test_the_model_is_told_with_its_size_and_memory(nano_url: str) -> None:
    (model,) = httpx.get(f"{nano_url}/v1/models").json()["data"]
    meta = model["meta"]
    assert meta["size"] == meta["memory"]["weights"] and meta["n_vocab"] == 1024
    memory = meta["memory"]
    parts = sum(memory[name] for name in ("weights", "kv", "workspace", "reserve"))
    assert parts < memory["limit"]
