"""Guessing ahead changes no id: greedy, and drawn with a seed."""

from typing import Any

from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.events import ContentDelta, Finished, ReasoningDelta
from mlx_magistral.selftest.line import Line, judged

_QUESTIONS = ("What is 345 + 67?", "Which is larger, 812 or 794?", "Sort 9, 4, 7.")
_DRAWS: tuple[dict[str, Any], ...] = ({"temperature": 0}, {"temperature": 0.7, "seed": 3})
_MAX_TOKENS = 96
_GUESSES = 3


def said(model: Magistral, question: str, **options: Any) -> tuple[str, float]:
    """All text of a reply, thinking included, and its ids a pass."""
    text, per_pass = "", 1.0
    for event in model.stream(question, **options):
        if isinstance(event, ReasoningDelta | ContentDelta):
            text += event.text
        elif isinstance(event, Finished):
            per_pass = event.timings.tokens_per_pass
    return text, per_pass


def speculation_line(model: Magistral, max_tokens: int = _MAX_TOKENS) -> Line:
    """Replies with guessing against replies without."""
    same, passes = [], []
    for question in _QUESTIONS:
        for draw in _DRAWS:
            options = {**draw, "max_tokens": max_tokens}
            plain, _ = said(model, question, speculate="off", **options)
            guessed, per_pass = said(model, question, speculate=_GUESSES, **options)
            same.append(plain == guessed)
            passes.append(per_pass)
    figure = f"{sum(same)} of {len(same)} replies equal, up to {max(passes):.2f} ids a pass"
    return judged("speculation against plain decoding", all(same), figure)
