"""A model that follows a script, so that rules are tested with no weights: position -> logits."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import mlx.core as mx

from mlx_magistral.decode.generate import decode, prefill
from mlx_magistral.decode.rules.steering import Rule, Steering, ThinkTokens
from mlx_magistral.decode.sampling import Sampler, SamplingOptions
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.text.reasoning import ReasoningParser

VOCAB = 50
THINK, END_THINK, EOS = 34, 35, 2


class FakeTokenizer:
    """Ids below 40 are controls, the others letters; 49 is a line end."""

    vocab_size = VOCAB

    def control_id(self, name: str) -> int:
        return {"[THINK]": THINK, "[/THINK]": END_THINK, "[TOOL_CALLS]": 9, "[ARGS]": 32}[name]

    def is_control(self, token: int) -> bool:
        return token < 40

    def id_to_bytes(self, token: int) -> bytes:
        return b"" if token < 40 else b"\n" if token == 49 else bytes([97 + token - 40])


class Scripted:
    """Its logits after n ids are ``script(ids)``; remembers the ids that went through it."""

    def __init__(self, script: Callable[[list[int]], mx.array]) -> None:
        self.script = script
        self.seen: list[int] = []
        self.passes: list[int] = []

    def hidden(self, tokens: mx.array, cache: list[Any]) -> mx.array:
        self.passes.append(tokens.shape[1])
        self.seen += tokens[0].tolist()  # type: ignore[arg-type]
        return tokens

    def logits(self, hidden: mx.array) -> mx.array:
        ends = range(len(self.seen) - hidden.shape[1] + 1, len(self.seen) + 1)
        return mx.stack([self.script(self.seen[:end]) for end in ends])[None]

    def __call__(self, tokens: mx.array, cache: list[Any]) -> mx.array:
        return self.logits(self.hidden(tokens, cache))


def says(*tokens: int) -> Callable[[list[int]], mx.array]:
    """Says the ids in turn whatever happens, the last one for ever; the prompt is one id."""
    return lambda seen: (mx.arange(VOCAB) == tokens[min(len(seen), len(tokens)) - 1]) * 9.0


def steering(rules: list[Rule], phrase: tuple[int, ...] = (41, 49)) -> Steering:
    parser = ReasoningParser(cast(Any, FakeTokenizer()))
    return Steering(parser, ThinkTokens(THINK, END_THINK, phrase), rules)


def reply(
    model: Scripted,
    steer: Steering | None,
    max_tokens: int = 60,
    **sampling: Any,
) -> list[int]:
    """The ids of one reply to the prompt ``[0]``."""
    cache = [SimpleNamespace(state=mx.zeros(1))]
    logits = prefill(cast(Transformer, model), [0], cache)
    assert logits is not None
    sampler = Sampler(SamplingOptions(**{"temperature": 0, **sampling}), [0], VOCAB)
    return list(
        decode(
            cast(Transformer, model),
            logits,
            cache,
            sampler,
            max_tokens=max_tokens,
            stop_tokens=frozenset({EOS}),
            steering=steer,
        )
    )
