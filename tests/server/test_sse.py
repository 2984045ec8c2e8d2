"""How a stream leaves: what is ready in one write, and nothing to a client that has gone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from server_fakes import SCRIPT, FakeBackend

from mlx_magistral.server.backend import GenerationRequest
from mlx_magistral.server.mailbox import Mailbox
from mlx_magistral.server.metrics import Metrics
from mlx_magistral.server.running import ClientGone, Run
from mlx_magistral.server.sse import EventStream


async def receive_nothing() -> Any:
    await asyncio.Event().wait()


def test_what_is_ready_goes_in_one_write() -> None:
    left = 0
    sent: list[Any] = []

    async def pieces() -> AsyncIterator[str]:
        nonlocal left
        for burst in (["a", "b", "c"], ["d"], ["e", "f"]):
            for index, piece in enumerate(burst):
                left = len(burst) - 1 - index
                yield piece

    async def send(message: Any) -> None:
        sent.append(message)

    async def main() -> None:
        stream = EventStream(pieces(), AsyncExitStack(), lambda: left > 0)
        await stream({"type": "http"}, receive_nothing, send)

    asyncio.run(main())
    assert [each["body"] for each in sent[1:]] == [b"abc", b"d", b"ef", b""]
    assert [each["more_body"] for each in sent[1:]] == [True, True, True, False]


def test_what_waits_for_a_client_that_has_gone_is_dropped() -> None:
    backend = FakeBackend()
    backend.script = [*SCRIPT[:1] * 100]

    async def main() -> int:
        has_left = asyncio.Event()

        async def receive() -> Any:
            await has_left.wait()
            return {"type": "http.disconnect"}

        seen = 0
        async with Run(backend, Metrics(backend), Mailbox(asyncio.get_running_loop()), 60) as run:
            await run.start([GenerationRequest(prompt="x")], receive)
            with pytest.raises(ClientGone):
                async for _ in run.events(60):
                    seen += 1
                    if seen == 3:
                        has_left.set()
                        await asyncio.sleep(0)
                        await asyncio.sleep(0)
        return seen

    assert asyncio.run(main()) == 3
    assert backend.tickets[0].cancelled.is_set()
