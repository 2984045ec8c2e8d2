"""Ids and text: mistral-common behind the few calls that the rest of the project makes.

Control ids exist by name and by id only: no text ever encodes to one, and none gives text. What
messages become is chat.py's business, what generated ids mean is reasoning.py's. mistral_common
takes half a second to import, so only load_tokenizer does it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlx_magistral.errors import TokenizerError

if TYPE_CHECKING:
    from mlx_magistral.text.chat import ChatEncoder
    from mlx_magistral.text.prompt import SystemPrompt, Thinking
    from mlx_magistral.text.tekken import LazyTekkenizer


def load_tokenizer(folder: str | Path, tekken: Path | None = None) -> "Tokenizer":
    """Load the tekken.json of a model folder, and its SYSTEM_PROMPT.txt if there is one.

    ``tekken`` is a file elsewhere, where the folder has none.

    Takes most of a second for the full vocabulary: start it in a thread while weights map.
    Raises TokenizerError.
    """
    from mlx_magistral.text.chat import ChatEncoder
    from mlx_magistral.text.prompt import load_system_prompt
    from mlx_magistral.text.tekken import load_tekkenizer

    system_prompt = load_system_prompt(Path(folder))
    tekkenizer = load_tekkenizer(tekken or Path(folder) / "tekken.json")
    return Tokenizer(tekkenizer, ChatEncoder(tekkenizer, system_prompt))


class Tokenizer:
    """Encodes text and conversations, decodes ids. Immutable, so threads may share one."""

    def __init__(self, tekkenizer: "LazyTekkenizer", chat: "ChatEncoder") -> None:
        self._tekkenizer = tekkenizer
        self._chat = chat
        self._control_count = tekkenizer.num_special_tokens
        self._bytes = _BytesById(tekkenizer)
        self.vocab_size: int = tekkenizer.n_words
        self.bos_id: int = tekkenizer.bos_id
        self.eos_id: int = tekkenizer.eos_id

    @property
    def tekkenizer(self) -> "LazyTekkenizer":
        """mistral-common's own object, for what is built on it (grammars)."""
        return self._tekkenizer

    @property
    def control_count(self) -> int:
        """How many control ids there are; they come before all others."""
        return self._control_count

    @property
    def system_prompt(self) -> "SystemPrompt":
        """The official system prompt that encode_chat joins in."""
        return self._chat.system_prompt

    @property
    def chat_encoder(self) -> "ChatEncoder":
        """What encode_chat is done by, for those who encode whole conversations (training)."""
        return self._chat

    def control_id(self, name: str) -> int:
        """The id of a control token such as ``[THINK]``; raises TokenizerError if there is none."""
        try:
            return self._tekkenizer.get_special_token(name)
        except ValueError as error:
            raise TokenizerError(f"The tokenizer has no control token {name!r}.") from error

    def is_control(self, token: int) -> bool:
        """Whether the id is a control token: one without text."""
        return token < self._control_count

    def id_to_bytes(self, token: int) -> bytes:
        """The bytes of an id, possibly a part of a character; ``b""`` for a control id."""
        return self._bytes[token]

    def encode(self, text: str) -> list[int]:
        """Plain text to ids: no control id whatever the text holds, and no ``<s>`` in front."""
        return self._chat.encode_text(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of all ids at once; control ids give none. TextDecoder does it as they come."""
        try:
            return self._tekkenizer.decode(list(tokens))
        except (KeyError, OverflowError) as error:
            raise TokenizerError(
                f"An id is outside the vocabulary of {self.vocab_size:,} tokens."
            ) from error

    def encode_chat(
        self,
        messages: str | Sequence[Any],
        tools: Sequence[Any] | None = None,
        raw_system: bool = False,
        *,
        thinking: "Thinking" = "auto",
    ) -> list[int]:
        """A conversation to the ids of its prompt, ready for the model to go on.

        ``messages`` is a text (one user message) or a list of OpenAI dicts, mistral-common
        messages, or both. The official system prompt comes first and the caller's leading system
        text after it; a leading system message with a think block is the caller's own template and
        is sent as it is, and so are all with ``raw_system=True``. ``thinking="force"``
        ends the prompt in an open think block (start the parser with ``in_reasoning=True``),
        ``"skip"`` in an empty closed one. A last assistant message with ``prefix`` true is the
        beginning of the reply. Raises PromptError.
        """
        return self._chat.encode(messages, tools, raw_system=raw_system, thinking=thinking)

    def begun_part(self, messages: str | Sequence[Any]) -> Literal["thinking", "answer"] | None:
        """What the prompt of these messages breaks off in: a part of a reply begun, or nothing."""
        return self._chat.begun_part(messages)


class _BytesById(dict[int, bytes]):
    """Bytes of the ids met so far: a dict look-up is three times faster than mistral-common's."""

    def __init__(self, tekkenizer: "LazyTekkenizer") -> None:
        super().__init__()
        self._tekkenizer = tekkenizer

    def __missing__(self, token: int) -> bytes:
        if not 0 <= token < self._tekkenizer.n_words:
            raise TokenizerError(
                f"Id {token} is outside the vocabulary of {self._tekkenizer.n_words:,} tokens."
            )
        piece = self._tekkenizer.id_to_byte_piece(token)
        self[token] = piece
        return piece
