"""The first example to look at: its text in stretches, control ids by name, and what is learned."""

from dataclasses import dataclass

from mlx_magistral.text.tokenizer import Tokenizer
from mlx_magistral.train.example import Example, targets_of


@dataclass(frozen=True)
class Stretch:
    """Text of ids in a row that are all learned, or all not."""

    text: str
    is_learned: bool


def stretches(example: Example, tokenizer: Tokenizer) -> list[Stretch]:
    """The whole example; a control id, which has no text, is shown by its name."""
    found: list[Stretch] = []
    tokens, marks = list(example.tokens), targets_of(example)
    start = 0
    for place in range(1, len(tokens) + 1):
        if place < len(tokens) and marks[place] == marks[start]:
            continue
        found.append(Stretch(_shown(tokens[start:place], tokenizer), marks[start]))
        start = place
    return found


def _shown(tokens: list[int], tokenizer: Tokenizer) -> str:
    parts: list[str] = []
    plain: list[int] = []
    for token in tokens:
        if not tokenizer.is_control(token):
            plain.append(token)
            continue
        parts += [tokenizer.decode(plain), tokenizer.tekkenizer.id_to_piece(token)]
        plain = []
    return "".join([*parts, tokenizer.decode(plain)])
