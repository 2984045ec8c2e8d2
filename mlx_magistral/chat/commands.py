"""The chat's commands: a table of names, what they take, and what they do."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mlx_magistral.chat import history
from mlx_magistral.chat.chat import Chat, read_text
from mlx_magistral.errors import MagistralError, UsageError
from mlx_magistral.terminal.display import ThinkMode
from mlx_magistral.terminal.figures import fold, stats_parts
from mlx_magistral.terminal.live import wrap
from mlx_magistral.terminal.size import terminal_size

_COMMAND = re.compile(r"/(?P<name>[A-Za-z]+)(?:\s+(?P<rest>.*))?\s*", re.DOTALL)
_OFF = ("off", "none")
# What other programs call a command.
_OTHER_NAMES = {"exit": "bye", "quit": "bye"}
_KEYS = (
    "Enter sends; Alt-Enter, or \\ at the end of a line, begins a new one.",
    'A message of several lines may stand between """ and """.',
    "Ctrl-C while it thinks: answer now; once more: stop.",
    "Ctrl-R searches what was typed, Ctrl-D leaves.",
)


@dataclass(frozen=True)
class Command:
    """One command; ``completes`` says what Tab offers after it."""

    act: Callable[[Chat, str], None]
    takes: str
    help: str
    completes: str | tuple[str, ...] = ()


def run_command(chat: Chat, text: str) -> bool:
    """Run the command that the text is; False where it is none, such as ``/usr/bin``.

    A wrong one is an error shown on the screen.
    """
    found = _COMMAND.fullmatch(text)
    if found is None:
        return False
    name, rest = found["name"].lower(), (found["rest"] or "").strip()
    name = _OTHER_NAMES.get(name, name)
    try:
        if name not in COMMANDS:
            close = get_close_matches(name, COMMANDS, 1)
            hint = f"Did you mean /{close[0]}?" if close else "/help lists them."
            raise UsageError(f"There is no command /{name}. {hint}")
        COMMANDS[name].act(chat, rest)
    except MagistralError as error:
        chat.screen.error(str(error))
    return True


def _help(chat: Chat, rest: str) -> None:
    columns = terminal_size()[0]
    width = max(len(f"/{name} {each.takes}") for name, each in COMMANDS.items())
    longest = max(len(each.help) for each in COMMANDS.values())
    gap = "  " if width + longest + 2 < columns else "\n    "
    for name, each in COMMANDS.items():
        usage = f"/{name} {each.takes}"
        if gap == "  ":
            chat.screen.show(f"{usage:{width}}{gap}{each.help}")
        else:
            chat.screen.show(gap.join([usage, *wrap(each.help, columns - len(gap))]))
    for line in _KEYS:
        chat.screen.show(line)


def _system(chat: Chat, rest: str) -> None:
    if rest:
        chat.conversation.set_system(None if rest in _OFF else rest)
    chat.screen.note(f"System text: {chat.conversation.content.system or 'none of yours'}")


def _file(chat: Chat, rest: str) -> None:
    files = chat.settings.files
    if rest in _OFF:
        files.clear()
    elif rest:
        path = Path(rest).expanduser()
        read_text(path)
        files.append(path)
    names = ", ".join(path.name for path in files)
    chat.screen.note(f"Goes with the next message: {names}" if names else "No file is attached.")


def _tool(chat: Chat, rest: str) -> None:
    settings = chat.settings
    texts = settings.tool_texts
    if rest:
        texts = () if rest in _OFF else (*texts, rest)
    tools = settings.make_tools(texts)
    settings.tool_texts = texts
    chat.screen.note("Tools: " + (", ".join(tools.tools) or "none"))


def _mcp(chat: Chat, rest: str) -> None:
    mcp = chat.settings.mcp
    if mcp is None:
        raise UsageError("There are no MCP servers. Begin the chat with --mcp FILE.")
    if rest == "forget":
        mcp.forget()
    elif rest:
        mcp.choose(() if rest == "all" else rest.split())
    tokenizer = None if chat.thread.model is None else chat.thread.model.tokenizer
    for line in mcp.describe(tokenizer):
        chat.screen.note(line)


def _budget(chat: Chat, rest: str) -> None:
    _set_number(chat, "think_budget", rest, "tokens of thinking at most", int)


def _seed(chat: Chat, rest: str) -> None:
    _set_number(chat, "seed", rest, "is the seed", int)


def _temp(chat: Chat, rest: str) -> None:
    _set_number(chat, "temperature", rest, "is the temperature", float)


def _set_number(
    chat: Chat, name: str, rest: str, meaning: str, kind: Callable[[str], float]
) -> None:
    options = chat.settings.options
    if rest in _OFF:
        options.pop(name, None)
    elif rest:
        try:
            value = kind(rest)
        except ValueError as error:
            raise UsageError(f"{rest!r} is no number. Give one, or off.") from error
        if value < 0:
            raise UsageError(f"It must be 0 or more, not {rest}.")
        options[name] = value
    chat.screen.note(f"{options[name]} {meaning}." if name in options else "Not set.")


def _think(chat: Chat, rest: str) -> None:
    if rest:
        if rest not in list(ThinkMode):
            raise UsageError(f"/think takes {', '.join(ThinkMode)}, not {rest!r}.")
        chat.settings.think = ThinkMode(rest)
    chat.screen.note(f"Thinking is shown: {chat.settings.think}.")


def _expand(chat: Chat, rest: str) -> None:
    messages = chat.conversation.content.messages
    thoughts = next((each["reasoning"] for each in reversed(messages) if "reasoning" in each), None)
    if thoughts is None:
        raise UsageError("There is no thinking to show yet.")
    chat.screen.note(str(thoughts).strip())


def _stats(chat: Chat, rest: str) -> None:
    if chat.last_finished is None:
        raise UsageError("There is no reply yet.")
    for line in fold(stats_parts(chat.last_finished), terminal_size()[0] - 1):
        chat.screen.show(line)
    total = chat.context_tokens
    cached = chat.last_finished.usage.cached_tokens
    chat.screen.show(
        f"context {chat.context_used:,}" + (f" of {total:,}" if total else "") + " tokens · "
        f"{cached:,} of {chat.last_finished.usage.prompt_tokens:,} prompt tokens were cached"
    )


def _retry(chat: Chat, rest: str) -> None:
    question = chat.conversation.drop_last_turn()
    if question is None:
        raise UsageError("There is no question to ask again.")
    chat.send(question)


def _edit(chat: Chat, rest: str) -> None:
    question = chat.conversation.last_question
    if question is None:
        raise UsageError("There is no question to edit.")
    chat.draft, chat.is_editing = question, True


def _undo(chat: Chat, rest: str) -> None:
    question = chat.conversation.drop_last_turn()
    if question is None:
        raise UsageError("There is no turn to take back.")
    chat.last_reply = chat.last_finished = None
    chat.screen.note(f"Taken back: {history.shortened(question)}")


def _copy(chat: Chat, rest: str) -> None:
    messages = chat.conversation.content.messages
    answers = [each.get("content") for each in messages if each["role"] == "assistant"]
    answer = next((each for each in reversed(answers) if each), None)
    if answer is None:
        raise UsageError("There is no answer to copy yet.")
    chat.screen.note(chat.screen.copy(answer))


def _save(chat: Chat, rest: str) -> None:
    from mlx_magistral.chat.export import export_session

    if rest:
        path = Path(rest).expanduser()
        export_session(chat.conversation.content, path)
        chat.screen.note(f"Written: {path}")
    elif chat.conversation.id is not None:
        chat.screen.note(f"Saved as it happens: session {chat.conversation.id}")
    else:
        raise UsageError("Nothing is saved here. /save FILE.md, FILE.html or FILE.json writes it.")


def _load(chat: Chat, rest: str) -> None:
    if not rest:
        raise UsageError("/load takes a session's name or a part of it. /sessions lists them.")
    history.load(chat, rest)


def _sessions(chat: Chat, rest: str) -> None:
    history.list_sessions(chat, rest)


def _model(chat: Chat, rest: str) -> None:
    if rest:
        from mlx_magistral.hub.resolve import require_local

        require_local(rest)
        chat.use_model(rest)
        chat.thread.prepare()
    chat.screen.note(f"Model: {chat.settings.model or 'nano'}")


def _clear(chat: Chat, rest: str) -> None:
    chat.begin_anew()
    chat.screen.note("A new conversation.")


def _bye(chat: Chat, rest: str) -> None:
    chat.is_over = True


COMMANDS = {
    "help": Command(_help, "", "These lines."),
    "system": Command(_system, "[TEXT|off]", "Show or set your system text."),
    "file": Command(_file, "[PATH|off]", "Attach a text file to the next message.", "paths"),
    "tool": Command(_tool, "[NAME=COMMAND|off]", "Let the model call a command; it asks first."),
    "mcp": Command(_mcp, "[PATTERN|all|forget]", "List MCP tools, choose some, or ask again."),
    "budget": Command(_budget, "[N|off]", "At most N tokens of thinking; 0 skips it."),
    "seed": Command(_seed, "[N|off]", "Fix the seed."),
    "temp": Command(_temp, "[X|off]", "Set the temperature."),
    "think": Command(_think, "[full|short|hide]", "How thinking is shown.", tuple(ThinkMode)),
    "expand": Command(_expand, "", "Show the last thinking again."),
    "stats": Command(_stats, "", "Figures of the last reply."),
    "retry": Command(_retry, "", "Ask the last question again."),
    "edit": Command(_edit, "", "Change the last question and ask it anew."),
    "undo": Command(_undo, "", "Take the last turn back."),
    "copy": Command(_copy, "", "Copy the last answer."),
    "save": Command(_save, "[FILE]", "Write a .md, .html or .json file.", "paths"),
    "load": Command(_load, "NAME", "Go on with a session.", "sessions"),
    "sessions": Command(_sessions, "[WORDS]", "List sessions that hold these words."),
    "model": Command(_model, "[NAME]", "Show or change the model.", "paths"),
    "clear": Command(_clear, "", "Begin a new conversation."),
    "bye": Command(_bye, "", "Leave, as /exit, /quit and exit do."),
}
