"""What tools cost: ids that their schemas add to every prompt."""

from collections.abc import Sequence
from typing import Any

from mlx_magistral.text.tokenizer import Tokenizer


def tool_tokens(tokenizer: Tokenizer, schemas: Sequence[dict[str, Any]]) -> int:
    """Ids of the prompt that these OpenAI tools take, the markers around them included."""
    if not schemas:
        return 0
    without = len(tokenizer.encode_chat("x"))
    return len(tokenizer.encode_chat("x", tools=schemas)) - without
