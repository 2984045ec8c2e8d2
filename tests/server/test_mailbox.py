"""From many threads to one loop: nothing lost, order kept, few wake-ups."""

import asyncio
import threading

from mlx_magistral.server.mailbox import Mailbox


def test_every_letter_comes_once_and_in_its_threads_order() -> None:
    got: list[tuple[int, int]] = []

    async def main() -> None:
        box = Mailbox(asyncio.get_running_loop())
        threads = [
            threading.Thread(target=lambda n=n: [box.post(got.append, (n, i)) for i in range(2000)])
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        while len(got) < 8000:
            await asyncio.sleep(0)
        for thread in threads:
            thread.join()

    asyncio.run(asyncio.wait_for(main(), 60))
    for number in range(4):
        assert [i for n, i in got if n == number] == list(range(2000))


def test_what_comes_at_once_wakes_the_loop_once() -> None:
    got: list[int] = []
    wakes = 0

    async def main() -> None:
        nonlocal wakes
        loop = asyncio.get_running_loop()
        wake = loop.call_soon_threadsafe

        def counting(*details: object) -> object:
            nonlocal wakes
            wakes += 1
            return wake(*details)  # type: ignore[arg-type]

        loop.call_soon_threadsafe = counting  # type: ignore[method-assign, assignment]
        box = Mailbox(loop)
        for letter in range(8):
            box.post(got.append, letter)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(main())
    assert got == list(range(8)) and wakes == 1


def test_a_loop_that_has_ended_is_no_error() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    Mailbox(loop).post(print, "nobody listens")
