"""A prompt without a template: a text or ids, exactly as they are given."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlx_magistral.errors import PromptError, UsageError
from mlx_magistral.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from mlx_magistral.text.prompt import Thinking


def raw_prompt(
    prompt: str | Sequence[int], tokenizer: Tokenizer, thinking: "Thinking" = "auto"
) -> tuple[list[int], "Thinking"]:
    """The ids, and ``force`` as thinking where they end in an open [THINK].

    A text gets ``<s>`` in front, as when a model is trained; ids are taken as they are. Raises
    PromptError for an empty prompt or an id outside the vocabulary, UsageError for forced thinking.
    """
    if thinking == "force":
        raise UsageError("A raw prompt is never changed: end it in [THINK] to force thinking.")
    if isinstance(prompt, str):
        if not prompt:
            raise PromptError("The prompt is empty. Write something for the model to go on from.")
        return [tokenizer.bos_id, *tokenizer.encode(prompt)], thinking
    if isinstance(prompt, Mapping | bytes) or not isinstance(prompt, Sequence):
        raise PromptError(f"prompt is {prompt!r}. Prompts are a text or a list of ids.")
    tokens: list[Any] = list(prompt)
    if not tokens:
        raise PromptError("The prompt has no ids. Give at least one.")
    for place, token in enumerate(tokens):
        if isinstance(token, bool) or not isinstance(token, int):
            raise PromptError(f"prompt[{place}] is {token!r}. Prompts are a text or a list of ids.")
        if not 0 <= token < tokenizer.vocab_size:
            raise PromptError(
                f"prompt[{place}] is {token}, which is no id: the vocabulary has "
                f"{tokenizer.vocab_size:,}."
            )
    is_open = tokens[-1] == tokenizer.control_id("[THINK]")
    return tokens, "force" if is_open else thinking
