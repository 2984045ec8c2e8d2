"""Conversations and their ids: the layout of Magistral's tokenizer v13, assembled fast.

`encode` builds the ids piece by piece with only the completions marked for the loss; `as_request`
says the same conversation to mistral-common, and the two are compared at every start of training.
"""

import json
import random
from dataclasses import dataclass, field, replace
from typing import Any

from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from nano_data import tasks
from nano_data.phrases import SYSTEM_TEXTS
from nano_data.problem import Problem, made_up_word

SYSTEM_PARTS = (
    "First draft your thinking process (inner monologue) until you arrive at a response. Format your"
    " response using Markdown, and use LaTeX for any mathematical equations. Write both your thoughts"
    " and the response in the same language as the input.\n\nYour thinking process must follow the"
    " template below:",
    "Your thoughts or/and draft, like working through an exercise on scratch paper. Be as casual and as"
    " long as you want until you are confident to generate the response. Use the same language as the"
    " input.",
    "Here, provide a self-contained response.",
)


@dataclass(frozen=True)
class Turn:
    """A question and what nano writes; with `call`, the calculator is asked in between.

    Earlier turns may come without their thinking; `stops_at_call` leaves out what follows a call.
    """

    user: str
    think: str
    answer: str
    call: str | None = None
    result: str | None = None
    shows_think: bool = True
    shows_call_think: bool = True
    stops_at_call: bool = False


@dataclass(frozen=True)
class Conversation:
    """What one training sample says; `system` is the user's own text, after the official one."""

    turns: list[Turn]
    has_official_system: bool
    system: str | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Sample:
    """Ids after the shared prefix, which of them are targets, and whether the prefix belongs to it."""

    tokens: list[int]
    is_target: list[bool]
    has_prefix: bool


class Encoder:
    """Conversation -> Sample, through the same tokenizer that the shipped model uses."""

    def __init__(self, tokenizer: Tekkenizer) -> None:
        """Fix the shared prefix: the official system prompt up to its last full stop.

        The full stop is left to the sample because a user's text may follow it.
        """
        self.tokenizer = tokenizer
        self.bos, self.eos = tokenizer.bos_id, tokenizer.eos_id
        first, thought, last = SYSTEM_PARTS
        self.prefix = [
            self.bos, *self._control("[SYSTEM_PROMPT]"), *self._text(first), *self._control("[THINK]"),
            *self._text(thought), *self._control("[/THINK]"), *self._text(last)[:-1],
        ]  # fmt: skip
        self._full_stop = self._text(last)[-1:]

    def encode(self, conversation: Conversation) -> Sample:
        """Targets are the assistant's ids that a model would have to write, `</s>` included."""
        tokens = self._system(conversation)
        is_target = [False] * len(tokens)
        for index, turn in enumerate(conversation.turns):
            prompt: list[int] = []
            if index == 0 and conversation.tools:
                prompt += self._control("[AVAILABLE_TOOLS]")
                prompt += self._text(json.dumps(conversation.tools, ensure_ascii=False))
                prompt += self._control("[/AVAILABLE_TOOLS]")
            prompt += self._control("[INST]") + self._text(turn.user) + self._control("[/INST]")
            parts = [(prompt, False), *self._completions(turn)]
            for ids, counts in parts:
                tokens += ids
                is_target += [counts] * len(ids)
        return Sample(tokens, is_target, conversation.has_official_system)

    def _completions(self, turn: Turn) -> list[tuple[list[int], bool]]:
        """What comes after the question, each part with whether nano has to write it.

        Without its thinking an earlier turn is only read: nano must never answer unthinking.
        """
        if turn.call is None:
            return [self._answer(turn.think, turn)]
        call = (self._call(turn), turn.shows_call_think)
        if turn.stops_at_call:
            return [call]
        result = self._text(turn.result or "")
        result = [*self._control("[TOOL_RESULTS]"), *result, *self._control("[/TOOL_RESULTS]")]
        return [call, (result, False), self._answer(f"{turn.call}={turn.think}", turn)]

    def _answer(self, think: str, turn: Turn) -> tuple[list[int], bool]:
        ids = [*self._think(think, turn.shows_think), *self._text(turn.answer), self.eos]
        return ids, turn.shows_think

    def _system(self, conversation: Conversation) -> list[int]:
        if conversation.has_official_system:
            extra = f"\n\n{conversation.system}" if conversation.system else ""
            return self._full_stop + self._text(extra) + self._control("[/SYSTEM_PROMPT]")
        if conversation.system is None:
            return [self.bos]
        text = self._text(conversation.system)
        return [
            self.bos,
            *self._control("[SYSTEM_PROMPT]"),
            *text,
            *self._control("[/SYSTEM_PROMPT]"),
        ]

    def _think(self, text: str, is_shown: bool) -> list[int]:
        if not is_shown:
            return []
        return [*self._control("[THINK]"), *self._text(text), *self._control("[/THINK]")]

    def _call(self, turn: Turn) -> list[int]:
        arguments = json.dumps({"expression": turn.call}, ensure_ascii=False)
        return [
            *self._think(f"{turn.call}: calculator", turn.shows_call_think),
            *self._control("[TOOL_CALLS]"), *self._text("calculator"),
            *self._control("[ARGS]"), *self._text(arguments), self.eos,
        ]  # fmt: skip

    def _control(self, name: str) -> list[int]:
        return [self.tokenizer.get_special_token(name)]

    def _text(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, bos=False, eos=False)


def as_request(conversation: Conversation) -> ChatCompletionRequest[Any]:
    """The same conversation as mistral-common's request, the last answer left out."""
    messages: list[dict[str, Any]] = []
    if conversation.has_official_system:
        first, thought, last = SYSTEM_PARTS
        extra = f"\n\n{conversation.system}" if conversation.system else ""
        messages.append(
            {"role": "system", "content": [_text(first), _thinking(thought), _text(last + extra)]}
        )
    elif conversation.system is not None:
        messages.append({"role": "system", "content": conversation.system})
    for turn in conversation.turns:
        messages.append({"role": "user", "content": turn.user})
        if turn.call is not None:
            shown = [_thinking(f"{turn.call}: calculator")] if turn.shows_call_think else None
            arguments = json.dumps({"expression": turn.call}, ensure_ascii=False)
            call = {"id": "abcdefghi", "function": {"name": "calculator", "arguments": arguments}}
            messages.append({"role": "assistant", "content": shown, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": "abcdefghi", "content": turn.result})
        think = turn.think if turn.call is None else f"{turn.call}={turn.think}"
        shown = [_thinking(think)] if turn.shows_think else []
        messages.append({"role": "assistant", "content": [*shown, _text(turn.answer)]})
    return ChatCompletionRequest.model_validate(
        {"messages": messages[:-1], "tools": conversation.tools or None}
    )


def random_system(rng: random.Random) -> str | None:
    """No text of the user's own four times in five."""
    if rng.random() < 0.8:
        return None
    if rng.random() < 0.3:
        return " ".join(made_up_word(rng) for _ in range(rng.randint(1, 6))).capitalize() + "."
    return " ".join(rng.sample(SYSTEM_TEXTS, rng.randint(1, 2)))


def plain_turn(problem: Problem) -> Turn:
    """The problem as a turn solved by scratch work."""
    return Turn(problem.question, problem.think, problem.answer)


def follow_ups(rng: random.Random, split: str, language: str | None = None) -> Conversation:
    """A sum and one to seven questions that go on from its value; thinking kept or dropped."""
    while True:
        problem = tasks.draw(rng.choice(_FIRST), rng, split, language)
        if problem.value is not None and 0 <= problem.value < 1000:
            break
    turns = [plain_turn(problem)]
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4, 5, 6, 7))):
        assert problem.value is not None
        if not 0 <= problem.value < 1000:
            break
        problem = tasks.follow_up(rng, problem, split)
        turns.append(plain_turn(problem))
    return _converse(rng, turns)


_FIRST = (
    "addition",
    "subtraction",
    "product_by_digit",
    "product_2x2",
    "story",
    "addition",
    "subtraction",
    "chain",
)


def plain(rng: random.Random, task: str, split: str, language: str | None = None) -> Conversation:
    """One question, now and then after one to seven unrelated earlier ones."""
    problem = tasks.draw(task, rng, split, language)
    turns = [plain_turn(problem)]
    if rng.random() < 0.15:
        for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 7))):
            task = rng.choice(("talk", *_FIRST, "comparison", "largest"))
            earlier = tasks.draw(task, rng, "train", problem.language)
            turns.insert(0, plain_turn(earlier))
    return _converse(rng, turns)


def _converse(rng: random.Random, turns: list[Turn]) -> Conversation:
    hides = rng.random() < 0.4
    last = len(turns) - 1
    turns = [replace(t, shows_think=not hides or i == last) for i, t in enumerate(turns)]
    return Conversation(turns, rng.random() < 0.5, random_system(rng))


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _thinking(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "closed": True}
