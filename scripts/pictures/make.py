#!/usr/bin/env python3
"""Make the pictures of the README and the book from real runs of nano, light and dark.

    scripts/pictures/make.py             all, about a minute
    scripts/pictures/make.py terminal    those of the terminal alone; or: page

Terminal: the program in a pseudo-terminal, as SVG. Page: a server and headless Chromium, as PNG.
docs/pictures/made.json keeps what each shows of the program, and tests/test_pictures.py says when
the program shows something else.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]

from drawing import animation, still  # noqa: E402
from recording import Frame, Recording  # noqa: E402

FOLDER = ROOT / "docs" / "pictures"
MADE = FOLDER / "made.json"
CHAT = ["chat", "-m", "nano", "--no-log", "--temperature", "0"]
COLUMNS = 76
# Its colours; what the page says is looked for in its scripts.
PAGE_SOURCES = ("mlx_magistral/server/page/colours.css",)
SECONDS = 10.0
_TRIES = 8


def chat_picture(home: Path) -> dict[str, Any]:
    """Two turns, and the thinking of the second shown again."""
    lines = 22
    run = Recording(home, CHAT, COLUMNS, lines)
    run.wait(r"(?m)^> *$")
    for number, question in enumerate(("What is 37 + 48?", "now add 5", "/expand"), 1):
        run.type(f"{question}\r")
        run.wait(rf"(?s)(?:\n> .*){{{number}}}\n>")
        run.watch(2.0)
    last = run.frames[-1]
    run.end()
    shows = ["thought for", "tokens", "Earlier thoughts are", "Nothing is written", "/help, Ctrl-D"]
    _require(shows, last.text)
    title = "mlx-magistral chat: two sums, and the thinking of the second"
    _write("chat.svg", still(last, COLUMNS, _used(last), title))
    return {"shows": shows}


def answer_now(home: Path) -> dict[str, Any]:
    """A thought cut short by Ctrl-C, in slow motion; nano has learned no closing phrase."""
    frames = next((found for _ in range(_TRIES) if (found := _cut_thought(home))), None)
    if frames is None:
        raise SystemExit("error: this machine was too busy to press Ctrl-C in time; try again.")
    shows = ["Ctrl-C answers now", "thinking", "tok/s", "thought for"]
    _require(shows, "\n".join(frame.text for frame in frames))
    title = "A thought about the letters of strawberry, ended by Ctrl-C: it answers at once"
    height = max(_used(frame) for frame in frames)
    _write("answer-now.svg", animation(_paced(frames, SECONDS), SECONDS, COLUMNS, height, title))
    return {"shows": shows}


def _cut_thought(home: Path) -> list[Frame] | None:
    """The screens from the question on; None where the thought was over, or the answer is wrong."""
    run = Recording(home, [*CHAT, "--think-close", ""], COLUMNS, 24)
    run.wait(r"(?m)^> *$")
    run.type("/model nano\r")  # loads it
    run.wait("Model: nano")
    run.watch(4.0)
    begun, top = len(run.frames) - 1, max(_prompts(run.shown))
    run.type_slowly("How many times does the letter r occur in strawberry?", 0.02)
    run.type("\r")
    run.wait("r:r3|thought for", is_slow=True, then="\x03")
    run.wait(r"(?s)thought for.*\n> *\n")
    run.watch(2.0)
    frames = [replace(each, rows=each.rows[top:]) for each in run.frames[begun:]]
    run.end()
    is_right = "appears 3 times" in frames[-1].text
    return frames if is_right else None


def _prompts(text: str) -> list[int]:
    """The lines that begin with the prompt."""
    return [number for number, line in enumerate(text.split("\n")) if line.startswith(">")]


def page_pictures() -> dict[str, Any]:
    """A reply with its thinking open, in both colours."""
    from playwright.sync_api import sync_playwright
    from server.page.browsing import CHROMIUM, Served, answered, ask, free_port, visit

    shows = ["Thought for", "New chat", "Ask anything", "Try again", "Kept in this browser only."]
    server = Served("nano", free_port())
    try:
        with sync_playwright() as driver:
            flags = ["--no-sandbox"] if os.geteuid() == 0 else []
            browser = driver.chromium.launch(executable_path=CHROMIUM, args=flags)
            for scheme in ("light", "dark"):
                page = browser.new_page(
                    viewport={"width": 1000, "height": 620},
                    color_scheme=scheme,  # type: ignore[arg-type]
                )
                page.set_default_timeout(60_000)
                visit(page, server)
                ask(page, "What is 37 + 48?")
                answered(page, 1)
                ask(page, "now add 5")
                answered(page, 2)
                said = page.locator("body").inner_text() + page.content()
                _require(shows, said)
                page.locator(".fold").last.click()
                page.wait_for_timeout(600)
                raw = page.screenshot()
                _shrink(raw, FOLDER / f"page-{scheme}.png")
                page.close()
            browser.close()
    finally:
        server.stop()
    sources = {name: digest(ROOT / name) for name in PAGE_SOURCES}
    return {"shows": shows, "sources": sources}


def digest(path: Path) -> str:
    """The beginning of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _shrink(png: bytes, path: Path) -> None:
    """In 128 colours, a fifth of the bytes."""
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
        path, optimize=True
    )


def _paced(frames: list[Frame], seconds: float) -> list[Frame]:
    """The same screens within so many seconds, the last of them seen for two and a half."""
    first, last = frames[0].at, frames[-1].at
    scale = (seconds - 2.5) / (last - first)
    return [replace(frame, at=(frame.at - first) * scale) for frame in frames]


def _used(frame: Frame) -> int:
    """Lines down to the last that has something."""
    return max(number for number, row in enumerate(frame.rows, 1) if row)


def _require(words: list[str], text: str) -> None:
    missing = [word for word in words if word not in text]
    if missing:
        raise SystemExit(f"error: not shown: {missing}\n{text}")


def _write(name: str, text: str) -> None:
    (FOLDER / name).write_text(text, "utf-8")
    print(f"{FOLDER / name}: {len(text) / 1000:.0f} kB")


def _with_home(make: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        return make(Path(home))


def main() -> None:
    """Parse the command line and make them."""
    parser = argparse.ArgumentParser(description="Make the pictures.")
    parser.add_argument("which", nargs="?", choices=("terminal", "page"))
    which = parser.parse_args().which
    FOLDER.mkdir(exist_ok=True)
    made = json.loads(MADE.read_text("utf-8")) if MADE.exists() else {}
    if which != "page":
        made["chat.svg"] = _with_home(chat_picture)
        made["answer-now.svg"] = _with_home(answer_now)
    if which != "terminal":
        made["page-light.png"] = made["page-dark.png"] = page_pictures()
    MADE.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
