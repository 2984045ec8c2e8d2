"""ReplyOptions: the keywords of everything that makes replies, so that editors and mypy know them.

What each means and may be is checked where it is used: SamplingOptions, ControlOptions, planning.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypedDict

from mlx_magistral.decode.rules.loop_guard import OnLoop


class ReplyOptions(TypedDict, total=False):
    """Keywords of stream, generate and the like; each may be left out.

    Raises UsageError for another name, a value of another type and one outside its range.
    """

    temperature: float
    """How much chance there is, 0.7 by default; 0 is greedy."""

    top_p: float
    """Only the likeliest ids up to this share of probability, 0.95 by default; 1 takes all."""

    top_k: int
    """Only so many of the likeliest ids; 0, the default, takes all."""

    min_p: float
    """Only ids of at least this share of the likeliest one's probability; 0 takes all."""

    repetition_penalty: float
    """Above 1 makes ids less likely that came already; 1 by default."""

    frequency_penalty: float
    """Off an id's logit each time it came, from -2 to 2."""

    presence_penalty: float
    """Off an id's logit once it came, from -2 to 2."""

    logit_bias: Mapping[int, float] | None
    """Added to the logits of single ids, from -100 to 100."""

    seed: int | None
    """Same seed, same model, same machine, same options: same ids. None draws one."""

    max_tokens: int | None
    """Bounds thinking and answer together; None is the rest of the context."""

    stop: str | Sequence[str]
    """A text, or several, at which the answer ends; it is not part of the answer."""

    thinking: Literal["auto", "force", "skip"]
    """Whether the reply begins in an open think block, without one, or as the model wants."""

    think_budget: int | None
    """At most so many ids of thinking; 0 skips it, None leaves what max_tokens has room for."""

    think_close: str
    """The text put before a forced end of the thinking."""

    on_loop: Literal["close", "stop", "off"] | OnLoop
    """What becomes of thinking in circles: it is closed, the reply ends, or nothing."""

    json_mode: bool
    """The answer is some JSON object."""

    strict_schema: bool
    """True, the default, refuses a schema of which a part cannot be enforced; False checks it."""

    tool_choice: str
    """auto, none, required, or the name of the tool to call."""

    parallel_tool_calls: bool
    """False allows one call a reply."""

    raw_system: bool
    """Send exactly the system messages given, without the official prompt."""

    logprobs: int | None
    """Report so many alternatives with each id of a delta, None reports nothing."""

    speculate: str | int
    """auto, off, or how many ids to guess at a time: the same ids in fewer passes."""

    on_prefill: Callable[[int, int], None] | None
    """Called with how many ids of the prompt are read, and of how many."""
