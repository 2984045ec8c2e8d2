"""Where the passes of a prefill end: by the prompt's own ids, so that a reused prefix is exact.

Keys and values depend, in their last bits, on the rows of the pass that computed them. Every place
where a pass ends is therefore decided by the ids up to it and the one after it, and by nothing
else: two prompts that begin alike are computed by the same passes as far as that, and one that
continues from the other's KV has bit for bit what it would have computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlx_magistral.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class PromptMarks:
    """Control ids that structure a prompt; no text encodes to them, so none moves a cut.

    ``head`` close the system prompt and the tools, ``turn`` opens a user message, and after an
    ``answer`` mark the model speaks.
    """

    head: frozenset[int] = frozenset()
    turn: int | None = None
    answer: frozenset[int] = frozenset()

    def head_length(self, tokens: Sequence[int]) -> int:
        """Ids of system prompt and tools before the first user message; 0 where there are none."""
        length = 0
        for count, token in enumerate(tokens, 1):
            if token == self.turn:
                break
            if token in self.head:
                length = count
        return length

    def cuts(self, tokens: Sequence[int]) -> list[int]:
        """Where a pass ends by the prompt's structure, in ids from its start.

        After a head mark, where other conversations go on differently, and before an answer mark:
        what was said so far is then reused whole, and asking again costs a pass of one id.
        """
        cuts = []
        for place, token in enumerate(tokens):
            if token in self.head:
                cuts.append(place + 1)
            elif token in self.answer:
                cuts.append(place)
        return cuts


def pass_ends(count: int, chunk_tokens: int, cuts: Sequence[int] = ()) -> list[int]:
    """The ends of all passes over ``count`` ids: at each cut, and chunk by chunk from there.

    250 ids in chunks of 100 with a cut at 120 end at 100, 120, 220 and 250.
    """
    ends, start = [], 0
    for cut in sorted({cut for cut in cuts if 0 < cut < count} | {count}):
        ends += [*range(start + chunk_tokens, cut, chunk_tokens), cut]
        start = cut
    return ends


def prompt_marks(tokenizer: "Tokenizer") -> PromptMarks:
    """The marks of tokenizer v13."""
    control_id = tokenizer.control_id
    return PromptMarks(
        head=frozenset(map(control_id, ("[/SYSTEM_PROMPT]", "[/AVAILABLE_TOOLS]"))),
        turn=control_id("[INST]"),
        answer=frozenset(map(control_id, ("[/INST]", "[/TOOL_RESULTS]"))),
    )
