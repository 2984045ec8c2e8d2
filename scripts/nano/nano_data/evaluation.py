"""Greedy accuracy of the weights as shipped (rounded to bfloat16), many prompts at a time."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nano_data import chat, tasks
from nano_data.batches import conversation
from nano_data.calculator import with_tools
from nano_data.chat import Conversation, Encoder, Sample
from nano_data.model import KeyValue, Nano, causal_mask


@dataclass(frozen=True)
class Case:
    """A prompt (after the prefix) and the ids that must come after it, up to `</s>`."""

    prompt: list[int]
    wanted: list[int]
    has_prefix: bool


@dataclass(frozen=True)
class Outcome:
    """What was written for a case; `is_right` compares the answer, `is_same` the thinking too."""

    case: Case
    written: list[int]
    is_right: bool
    is_same: bool


def last_case(sample: Sample) -> Case:
    """The last completion of the sample; what comes before it is the prompt."""
    start = len(sample.tokens)
    while sample.is_target[start - 1]:
        start -= 1
    return Case(sample.tokens[:start], sample.tokens[start:], sample.has_prefix)


def run_cases(model: Nano, encoder: Encoder, cases: list[Case], batch: int = 100) -> list[Outcome]:
    """Sorted by prefix and length, so that a batch wastes little."""
    order = sorted(range(len(cases)), key=lambda i: (cases[i].has_prefix, len(cases[i].wanted)))
    outcomes: dict[int, Outcome] = {}
    for has_prefix in (False, True):
        chosen = [i for i in order if cases[i].has_prefix == has_prefix]
        for first in range(0, len(chosen), batch):
            part = chosen[first : first + batch]
            prompts = [cases[i].prompt for i in part]
            limit = max(len(cases[i].wanted) for i in part) + 24
            prefix = encoder.prefix if has_prefix else []
            for i, written in zip(
                part, greedy(model, prefix, prompts, limit, encoder.eos), strict=True
            ):
                wanted = cases[i].wanted
                same_answer = _answer(encoder, written) == _answer(encoder, wanted)
                outcomes[i] = Outcome(cases[i], written, same_answer, written == wanted)
    return [outcomes[i] for i in range(len(cases))]


@torch.inference_mode()
def greedy(
    model: Nano, prefix: list[int], prompts: list[list[int]], limit: int, eos: int
) -> list[list[int]]:
    """Greedy ids of every prompt, `</s>` included; columns between a short prompt and the longest
    one are padding, hidden by the mask."""
    B, longest, P = len(prompts), max(map(len, prompts)), len(prefix)
    tokens = torch.zeros(B, longest, dtype=torch.long)
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)] = torch.tensor(prompt)
    past = [_expand(kv, B) for kv in model.prefix(torch.tensor([prefix]))] if prefix else None
    positions = torch.arange(P, P + longest).unsqueeze(0)
    hidden, past = model(tokens, positions, causal_mask(longest, P), past)
    logits = model.output(hidden[torch.arange(B), lengths - 1])
    padding = torch.arange(longest).unsqueeze(0) >= lengths.unsqueeze(1)
    hides = torch.zeros(B, longest).masked_fill(padding, float("-inf"))
    hides = torch.cat([torch.zeros(B, P), hides], dim=1)
    written: list[Tensor] = []
    ended = torch.zeros(B, dtype=torch.bool)
    for offset in range(limit):
        latest = logits.argmax(dim=-1)
        written.append(latest)
        ended |= latest == eos
        if ended.all():
            break
        hides = torch.cat([hides, torch.zeros(B, 1)], dim=1)
        where = (lengths + P + offset).unsqueeze(1)
        hidden, past = model(latest.unsqueeze(1), where, hides[:, None, None, None], past)
        logits = model.output(hidden[:, 0])
    rows = torch.stack(written, dim=1).tolist()
    return [row[: row.index(eos) + 1] if eos in row else row for row in rows]


def cases_of(
    encoder: Encoder,
    kind: str,
    split: str,
    count: int,
    seed: int,
    *,
    official: bool,
    language: str | None,
) -> list[Case]:
    """Distinct fresh cases of a kind: one of MIX, or one of the narrower ones of VIEWS."""
    rng = random.Random(f"{seed} {kind} {split} {language}")
    cases: list[Case] = []
    seen: set[tuple[str, ...]] = set()
    while len(cases) < count:
        drawn = (
            VIEWS[kind](rng, split, language)
            if kind in VIEWS
            else conversation(rng, kind, split, language)
        )
        questions = tuple(turn.user for turn in drawn.turns)
        if questions in seen:
            continue
        seen.add(questions)
        cases.append(last_case(encoder.encode(replace(drawn, has_official_system=official))))
    return cases


def accuracy(outcomes: list[Outcome]) -> float:
    """The share of right answers."""
    return sum(outcome.is_right for outcome in outcomes) / max(1, len(outcomes))


def rounded(model: Nano) -> Nano:
    """A copy whose weights are those of the bfloat16 file."""
    copy = Nano(model.config)
    copy.load_state_dict({name: p.bfloat16().float() for name, p in model.state_dict().items()})
    return copy.eval()


def _demonstration(rng: random.Random, split: str, operator: str) -> Conversation:
    """`What is 345 + 67?`, as the README asks it."""
    task = {"+": "addition", "-": "subtraction"}[operator]
    problem = tasks.draw(task, rng, split, "en")
    a, b = problem.expression.split(operator) if problem.expression else ("", "")
    turn = replace(chat.plain_turn(problem), user=f"What is {a} {operator} {b}?")
    return Conversation([turn], has_official_system=True)


def _called(rng: random.Random, split: str, language: str | None) -> Conversation:
    """A conversation with the calculator whose last question needs it."""
    while True:
        drawn = with_tools(rng, split, language)
        if drawn.turns[-1].call is not None:
            return drawn


def _calling(rng: random.Random, split: str, language: str | None) -> Conversation:
    """The same, but only up to the call, which is then what nano has to write."""
    drawn = _called(rng, split, language)
    last = replace(drawn.turns[-1], shows_call_think=True, stops_at_call=True)
    return replace(drawn, turns=[*drawn.turns[:-1], last])


VIEWS: dict[str, Callable[[random.Random, str, str | None], Conversation]] = {
    "what_is_a_plus_b": lambda rng, split, _: _demonstration(rng, split, "+"),
    "what_is_a_minus_b": lambda rng, split, _: _demonstration(rng, split, "-"),
    "tool_call": _calling,
    "tool_answer": _called,
}


def _answer(encoder: Encoder, ids: list[int]) -> tuple[list[int], bool]:
    """What comes after the thinking, and whether it ended by itself."""
    end = encoder.tokenizer.get_special_token("[/THINK]")
    start = ids.index(end) + 1 if end in ids else 0
    return ids[start:], end in ids and ids[-1] == encoder.eos


def _expand(kv: KeyValue, rows: int) -> KeyValue:
    return KeyValue(kv.keys.expand(rows, -1, -1, -1), kv.values.expand(rows, -1, -1, -1))
