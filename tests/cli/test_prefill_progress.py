"""The progress line: on terminals, after a second, and gone before the reply."""

import io

from mlx_magistral.cli.prefill_progress import PrefillProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress(stream: io.StringIO, seconds: list[float]) -> PrefillProgress:
    times = iter([0.0, *seconds])
    return PrefillProgress(stream, clock=lambda: next(times))


def test_shown_after_a_second_and_wiped_at_the_end() -> None:
    terminal = Terminal()
    report = progress(terminal, [0.5, 1.5])
    report(256, 1000)
    assert terminal.getvalue() == ""
    report(512, 1000)
    assert terminal.getvalue().endswith("reading the prompt: 512 of 1,000 tokens")
    report(1000, 1000)
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_quick_prompt_and_pipe_show_nothing() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    progress(terminal, [])(10, 10)
    progress(pipe, [5.0])(256, 1000)
    assert terminal.getvalue() == pipe.getvalue() == ""
