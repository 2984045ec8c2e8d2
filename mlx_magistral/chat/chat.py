"""Chat: a conversation with a model, one turn after the other; commands.py changes it.

Holds no terminal: what is shown goes to a Screen, what is typed comes from the REPL.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from mlx_magistral.chat.conversation import Conversation
from mlx_magistral.chat.screen import Screen
from mlx_magistral.chat.sessions import SessionStore
from mlx_magistral.chat.settings import ChatSettings
from mlx_magistral.chat.turns import tool_messages
from mlx_magistral.chat.worker import ModelThread, Prefilling, Run, Tick
from mlx_magistral.engine.reply import ReplyCollector
from mlx_magistral.errors import ContextLengthError, MagistralError, UsageError
from mlx_magistral.events import Finished, FinishReason, Reply

_TOOL_ROUNDS = 8
_NEARLY_FULL = 0.8


class Chat:
    """The conversation, its settings and the model behind it."""

    def __init__(
        self,
        settings: ChatSettings,
        screen: Screen,
        thread: ModelThread,
        conversation: Conversation,
        store: SessionStore | None = None,
    ) -> None:
        self.settings = settings
        self.screen = screen
        self.thread = thread
        self.conversation = conversation
        self.store = store or SessionStore()
        self.last_reply: Reply | None = None
        self.last_finished: Finished | None = None
        # What the next prompt begins with, and whether sending it replaces the last turn.
        self.draft = ""
        self.is_editing = False
        self.is_over = False
        self.use_model(settings.model)

    def use_model(self, name: str | None) -> None:
        """Change the model; the thread loads it when it is asked to prepare, or to reply."""
        self.settings.model = name
        load = self.settings.load
        self.thread.use(lambda: load(name))

    def begin_anew(self, conversation: Conversation | None = None) -> None:
        """Go on with another conversation, by default a new one under the same system text."""
        system = self.conversation.content.system
        self.conversation.close()
        if conversation is None:
            conversation = Conversation(self.store if self.settings.is_logged else None)
            conversation.set_system(system)
        self.conversation = conversation
        self.last_reply = self.last_finished = None
        self.draft, self.is_editing = "", False

    def send(self, text: str) -> None:
        """One turn: ask, show the reply, run the tools it calls. An error is one line."""
        if self.is_editing:
            self.is_editing = False
            self.conversation.drop_last_turn()
        try:
            question = self._with_files(text)
            self.conversation.ask(question, self.settings.model)
            self._answer()
        except MagistralError as error:
            self.screen.error(str(error))
            if isinstance(error, ContextLengthError):
                self.screen.note("/undo takes the last turn back, /clear begins a conversation.")
        for note in [*self.conversation.take_notes(), *self.thread.take_notes()]:
            self.screen.note(note)

    @property
    def context_used(self) -> int:
        """Tokens that the next prompt takes, before its question."""
        if self.last_finished is None:
            return 0
        usage = self.last_finished.usage
        thoughts = 0 if self.settings.keep_reasoning else usage.reasoning_tokens
        return usage.prompt_tokens + usage.completion_tokens - thoughts

    @property
    def context_tokens(self) -> int | None:
        """What prompt and reply may take together; None while no model is loaded."""
        return None if self.thread.model is None else self.thread.model.context_tokens

    def _answer(self) -> None:
        settings = self.settings
        tools = settings.make_tools(settings.tool_texts)
        for left in range(_TOOL_ROUNDS, -1, -1):
            messages = self.conversation.prompt(keep_reasoning=settings.keep_reasoning)
            run = self.thread.start(
                messages=messages, tools=list(tools.schemas) or None, **settings.options
            )
            reply = self._show(run)
            if reply is None:
                return
            self.last_reply = reply
            self.conversation.add_reply(reply)
            calls = reply.finish_reason is FinishReason.TOOL_CALLS
            if left == 0 or not calls or not tools.tools:
                self._comment(reply)
                return
            self.conversation.add_results(tool_messages(reply, tools.run))

    def _show(self, run: Run) -> Reply | None:
        collector = ReplyCollector("")
        view = self.screen.view(self.settings.think)
        finished = None

        def interrupt() -> None:
            view.interrupted()
            run.interrupt()

        with self.screen.quiet_keys(), _interrupts(interrupt):
            try:
                while (event := run.next()) is not None:
                    if not isinstance(event, Tick | Prefilling):
                        collector.feed(event)
                    if isinstance(event, Finished):
                        finished = event
                    view.feed(event)
            except BaseException:
                run.stop()
                raise
            finally:
                view.close()
        if finished is None:
            self.screen.note("Stopped.")
            return None
        self.last_finished = finished
        collector.model_name = self.thread.model.name if self.thread.model else ""
        return collector.reply()

    def _comment(self, reply: Reply) -> None:
        """What the user should know about how the reply ended, and about the room left."""
        if reply.finish_reason is FinishReason.INTERRUPTED:
            has_answer = bool((reply.content or "").strip())
            self.screen.note(
                "Stopped; the model sees the answer as far as it came."
                if has_answer
                else "Stopped before an answer; the model won't see this turn. /retry asks again."
            )
        elif reply.finish_reason is FinishReason.LENGTH:
            self.screen.note("The reply was cut off: it reached --max-tokens or the context's end.")
        elif reply.finish_reason is FinishReason.LOOP:
            self.screen.note("The reply ran in circles and was ended.")
        elif reply.finish_reason is FinishReason.TOOL_CALLS:
            names = ", ".join(call.name for call in reply.tool_calls)
            self.screen.note(
                f"It went on calling tools, and was ended after {_TOOL_ROUNDS} rounds."
                if self.settings.tool_texts
                else f"The model called {names}, and has no tool here: /tool NAME=COMMAND."
            )
        total = self.context_tokens
        if total and self.context_used > _NEARLY_FULL * total:
            self.screen.note(
                f"The context is nearly full: {self.context_used:,} of {total:,} tokens. "
                "/undo takes turns back, /clear begins a conversation."
            )

    def _with_files(self, text: str) -> str:
        """The text, then each attached file under its name; the list is empty afterwards."""
        parts = [text, *(f"{path.name}:\n{read_text(path)}" for path in self.settings.files)]
        self.settings.files.clear()
        return "\n\n".join(parts)


def read_text(path: Path) -> str:
    """A file to attach; raises UsageError where it is no text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text. Convert it first.") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error


@contextmanager
def _interrupts(interrupt: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C goes to the reply while it runs."""

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        interrupt()

    previous = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
