"""The official system prompt: a text with a think block in the middle, and where it comes from.

How a user's own system text joins it is chat.py's business.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from mlx_magistral.errors import TokenizerError

FILE_NAME = "SYSTEM_PROMPT.txt"

# How a prompt ends: as it is, in an open think block, or in an empty closed one.
Thinking = Literal["auto", "force", "skip"]

_OPEN, _CLOSE = "[THINK]", "[/THINK]"

# The text of the model card, byte for byte; used where a folder has no SYSTEM_PROMPT.txt.
_MODEL_CARD_TEXT = (
    "First draft your thinking process (inner monologue) until you arrive at a response. "
    "Format your response using Markdown, and use LaTeX for any mathematical equations. "
    "Write both your thoughts and the response in the same language as the input.\n\n"
    "Your thinking process must follow the template below:"
    "[THINK]Your thoughts or/and draft, like working through an exercise on scratch paper. "
    "Be as casual and as long as you want until you are confident to generate the response. "
    "Use the same language as the input.[/THINK]"
    "Here, provide a self-contained response."
)


@dataclass(frozen=True)
class PromptPart:
    """A stretch of the prompt, either plain text or the inside of a think block."""

    text: str
    is_thinking: bool


@dataclass(frozen=True)
class SystemPrompt:
    """The parts in order. Kept apart because their borders are control ids, never text."""

    parts: tuple[PromptPart, ...]

    @property
    def text(self) -> str:
        """The prompt to read, with literal markers, as SYSTEM_PROMPT.txt has it."""
        return "".join(
            f"{_OPEN}{part.text}{_CLOSE}" if part.is_thinking else part.text for part in self.parts
        )

    def rest_of(self, text: str) -> str | None:
        """What follows the prompt in a text that begins with it; None where it does not.

        White space makes no difference, nor whether the markers are written out: people paste
        SYSTEM_PROMPT.txt whole, and other programs drop what they take for control tokens.
        """
        found = self._pattern.match(text)
        return None if found is None else text[found.end() :].strip()

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        gap = r"\s*"
        pieces = []
        for part in self.parts:
            signs = gap.join(re.escape(sign) for sign in "".join(part.text.split()))
            marked = rf"(?:{re.escape(_OPEN)})?{gap}{signs}{gap}(?:{re.escape(_CLOSE)})?"
            pieces.append(marked if part.is_thinking else signs)
        return re.compile(gap + gap.join(pieces))


def parse_system_prompt(text: str, source: str = FILE_NAME) -> SystemPrompt:
    """Split at the literal markers, keeping all white space; markers that do not pair raise."""
    parts = []
    rest = text
    while True:
        plain, opened, rest = rest.partition(_OPEN)
        thinking, closed, rest = rest.partition(_CLOSE)
        if _CLOSE in plain or _OPEN in thinking or (opened and not closed):
            raise TokenizerError(
                f"{source}: {_OPEN} and {_CLOSE} do not pair. Restore the file from the model's "
                "repository, or delete it to use the built-in prompt."
            )
        if plain:
            parts.append(PromptPart(plain, is_thinking=False))
        if not opened:
            return SystemPrompt(tuple(parts))
        parts.append(PromptPart(thinking, is_thinking=True))


def card_prompt() -> SystemPrompt:
    """The model card's text."""
    return parse_system_prompt(_MODEL_CARD_TEXT)


def load_system_prompt(folder: Path) -> SystemPrompt:
    """The folder's SYSTEM_PROMPT.txt, or the model card's text where there is none."""
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return card_prompt()
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{path} is not UTF-8 text. Restore it from the model's repository, or delete it to "
            "use the built-in prompt."
        ) from error
    if not text.strip():
        raise TokenizerError(f"{path} is empty. Delete it to use the built-in prompt.")
    return parse_system_prompt(text, str(path))
