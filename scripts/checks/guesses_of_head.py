"""What a head guesses of the replies of its target: so many ids a pass, and how long that takes.

A fixed number of guesses a pass, by the head alone and with look-ups beside it, and no gate. Ids
have to be those of plain decoding. The same passes are replayed on the curves of curves.py.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.decode.driver import Driver
from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.decode.speculation.drafts import Drafts
from mlx_magistral.decode.speculation.head_draft import HeadDraft
from mlx_magistral.decode.speculation.pass_costs import PassCosts
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.text.reasoning import ParserState

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))

from curves import CURVES, GUESS_COST, Curve  # noqa: E402

_STOP = 2  # SmolLM2's


class HeadAlone:
    """The guesses of a head for each pass, so many, with no look-up beside it and no gate."""

    def __init__(self, prompt: Sequence[int], head: HeadDraft, guesses: int) -> None:
        self.passes = self.drafted = 0
        self.tap = head.tap
        self._head, self._guesses, self._tokens = head, guesses, list(prompt)

    def saw(self, states: mx.array, place: int) -> None:
        """A pass of the target."""
        self._head.saw(states, place, self._tokens)

    def feed(self, token: int, state: ParserState) -> None:
        """An id of the reply."""
        self._tokens.append(token)

    def is_armed(self, driver: Driver) -> bool:
        """It always guesses."""
        return driver.left > 1

    def propose(self, driver: Driver) -> mx.array | None:
        """Its guesses."""
        count = min(self._guesses, driver.left - 1)
        return self._head.propose(self._tokens, count, driver) if count > 0 else None

    def accepted(self, drafted: int, accepted: int) -> None:
        """What came of them."""
        self.drafted += drafted


def answered(
    model: Transformer,
    prompt: list[int],
    speculation: HeadAlone | Drafts | None,
    max_tokens: int,
) -> tuple[list[int], float]:
    """Greedy ids, and seconds of decode."""
    cache = make_cache(model)
    logits = prefill(model, prompt, cache, speculation=speculation)
    assert logits is not None
    mx.eval(logits)
    started = time.perf_counter()
    sampler = Sampler(SamplingOptions(temperature=0), prompt, logits.shape[-1])
    ids = list(
        decode(
            model,
            logits,
            cache,
            sampler,
            max_tokens=max_tokens,
            stop_tokens=frozenset({_STOP}),
            speculation=speculation,
        )
    )
    return ids, time.perf_counter() - started


def measure(
    model: Transformer,
    head: HeadDraft,
    prompts: list[list[int]],
    guesses: Sequence[int],
    max_tokens: int,
) -> list[dict[str, Any]]:
    """Of each number of guesses, with and without look-ups: what came of all prompts."""
    found = []
    plain = [answered(model, prompt, None, max_tokens) for prompt in prompts]
    for count in guesses:
        for with_lookups in (False, True):
            ids = passes = drafted = same = 0
            seconds = 0.0
            for prompt, (wanted, _) in zip(prompts, plain, strict=True):
                own = head.for_reply()
                own.go_on(prompt, 0)
                speculation = (
                    Drafts(prompt, PassCosts("none", None), length=count, draft_model=own)
                    if with_lookups
                    else HeadAlone(prompt, own, count)
                )
                said, taken = answered(model, prompt, speculation, max_tokens)
                same += said == wanted
                ids, passes = ids + len(said), passes + speculation.passes
                drafted, seconds = drafted + speculation.drafted, seconds + taken
            row = {
                "guesses": count,
                "look_ups": with_lookups,
                "prompts": len(prompts),
                "equal_to_plain": same,
                "ids": ids,
                "ids_a_pass": round(ids / passes, 3),
                "wall_clock_here_over_plain": round(sum(each for _, each in plain) / seconds, 3),
                "replayed": {
                    name: round(replayed(ids, passes, drafted, curve), 2)
                    for name, curve in CURVES.items()
                },
            }
            print(row, file=sys.stderr, flush=True)
            found.append(row)
    return found


def replayed(ids: int, passes: int, drafted: int, curve: Curve) -> float:
    """How many times as fast as plain: passes of the mean number of guesses, at a curve's costs.

    Every guess is a head's, though some are looked up for nothing.
    """
    each = drafted / passes
    fewer, share = int(each), each % 1
    costs = curve.costs
    taken = costs(fewer + 1) * (1 - share) + costs(fewer + 2) * share
    return ids * costs(1) / (passes * (taken + each * GUESS_COST * costs(1)))
