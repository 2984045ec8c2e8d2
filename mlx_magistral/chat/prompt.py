"""PromptReader: the line editor, on prompt_toolkit. Imported where there is a terminal only."""

from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import is_searching
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style

from mlx_magistral.chat.commands import COMMANDS
from mlx_magistral.chat.repl import is_unfinished

_MARK = "> "
_STYLE = Style.from_dict({"bottom-toolbar": "noreverse ansibrightblack"})


class PromptReader:
    """Reads one message at a time. ``history`` is a file, None keeps nothing.

    ``status`` gives the line under the prompt for a width; ``sessions`` the names Tab offers;
    ``on_shown`` is called whenever the prompt has been drawn.
    """

    def __init__(
        self,
        history: Path | None,
        status: Callable[[int], str],
        sessions: Callable[[], list[str]],
        on_shown: Callable[[], None],
    ) -> None:
        self._status = status
        self._session: PromptSession[str] = PromptSession(
            message=_MARK,
            multiline=True,
            prompt_continuation=_continuation,
            history=_history(history),
            completer=CommandCompleter(sessions),
            complete_while_typing=False,
            enable_history_search=False,
            key_bindings=_bindings(),
            bottom_toolbar=self._toolbar,
            style=_STYLE,
            # All commands at once: in columns, in a window of 80 by 24 in four lines.
            complete_style=CompleteStyle.MULTI_COLUMN,
            reserve_space_for_menu=5,
            refresh_interval=0.5,  # the toolbar tells when the model is there
        )

        self._session.app.after_render += lambda app: on_shown()

    def read(self, draft: str) -> str:
        return self._session.prompt(default=draft)

    def _toolbar(self) -> str:
        return self._status(self._session.output.get_size().columns)


class CommandCompleter(Completer):
    """Commands after a slash, and what each of them takes."""

    def __init__(self, sessions: Callable[[], list[str]]) -> None:
        self._sessions = sessions
        self._paths = PathCompleter(expanduser=True)

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        name, space, rest = text[1:].partition(" ")
        if not space:
            for command in COMMANDS:
                if command.startswith(name):
                    yield Completion(command, -len(name), display_meta=COMMANDS[command].help)
            return
        offered = COMMANDS[name].completes if name in COMMANDS else ()
        if offered == "paths":
            yield from self._paths.get_completions(Document(rest), complete_event)
            return
        words = self._sessions() if offered == "sessions" else offered
        for word in words:
            if rest in word:
                yield Completion(word, -len(rest))


def _continuation(width: int, line: int, wraps: int) -> str:
    """A dot before a line of its own; none where the window broke it."""
    return "  " if wraps else ". "


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter", filter=~is_searching)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion:
            buffer.complete_state = None  # take the completion; the next Enter sends
        elif is_unfinished(buffer.text) and buffer.document.is_cursor_at_the_end:
            if buffer.text.endswith("\\"):
                buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter", filter=~is_searching)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return bindings


def _history(path: Path | None) -> History:
    if path is None:
        return InMemoryHistory()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()  # a home that may only be read
    return FileHistory(str(path))
