"""A reply in tmux: half of it, a word to whoever resizes the window, the rest. Run by a test.

The second argument is what is resized meanwhile: width or height.
"""

import os
import shutil
import signal
import subprocess
import sys

from mlx_magistral.chat.view import ReplyView
from mlx_magistral.events import ContentDelta, ReasoningDelta
from mlx_magistral.terminal.display import ThinkMode

SOCKET = sys.argv[1]
WORDS = " ".join(f"word{number}" for number in range(1, 61))
ANSWER = f"# Title\n\n{WORDS}\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nThe end."


def tmux(*arguments: str) -> None:
    subprocess.run(["tmux", "-L", SOCKET, *arguments], check=True)


def wait_for_size(columns: int, lines: int, resized: int) -> None:
    """tmux tells a program its size a moment after it has changed the window."""
    while shutil.get_terminal_size() != (columns, lines):
        os.read(resized, 1)


def main() -> None:
    resized, write_end = os.pipe()
    os.set_blocking(write_end, False)
    signal.signal(signal.SIGWINCH, lambda number, frame: None)
    signal.set_wakeup_fd(write_end)
    # The window is full, as after a turn or two.
    print("earlier\n" * 30 + "> question")
    view = ReplyView(sys.stdout, ThinkMode.FULL, has_colour=True, clock=iter(range(10**6)).__next__)
    {"width": change_width, "height": change_height}[sys.argv[2]](view, resized)
    view.close()
    tmux("wait-for", "-S", "over")
    tmux("wait-for", "read")


def change_height(view: ReplyView, resized: int) -> None:
    for _ in range(20):
        view.feed(ReasoningDelta("thoughts " * 40, 9))
    tmux("wait-for", "-S", "thinking")
    wait_for_size(80, 20, resized)
    for _ in range(20):
        view.feed(ReasoningDelta("thoughts " * 40, 9))
    view.feed(ContentDelta("The end."))


def change_width(view: ReplyView, resized: int) -> None:
    view.feed(ReasoningDelta("thoughts " * 40, 9))
    tmux("wait-for", "-S", "thinking")
    wait_for_size(40, 20, resized)
    view.feed(ReasoningDelta("thoughts " * 40, 9))
    half = ANSWER.index("word40")
    for character in ANSWER[:half]:
        view.feed(ContentDelta(character))
    tmux("wait-for", "-S", "half")
    wait_for_size(70, 16, resized)
    for character in ANSWER[half:]:
        view.feed(ContentDelta(character))


if __name__ == "__main__":
    main()
