"""The calibration text used when none is given: conversations with reasoning, prose and code.

Nothing is shipped and nothing is fetched. Conversations are made from templates in four languages;
prose and code are this Python's own manual and library. A model's own answers to one's own
questions are better still: that is what --calibration is for.
"""

import random
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_CONVERSATIONS = 400
_DOCUMENT_CHARACTERS = 3000
# Modules whose source reads like a program one would ask about.
_CODE = ("heapq", "textwrap", "statistics", "fractions", "shelve", "csv", "queue", "graphlib")

# question, reasoning, answer; the same figures in each language.
_SUMS = (
    (
        "A train leaves with {a} passengers. At the first stop {b} get on and {c} get off. "
        "How many are on board?",
        "Let me see. It starts with {a}. {b} get on: {a} + {b} = {ab}. Then {c} get off: "
        "{ab} - {c} = {r}. Wait, let me check: {a} + {b} - {c} = {r}. Yes.",
        "There are **{r}** passengers on board: ${a} + {b} - {c} = \\boxed{{{r}}}$.",
    ),
    (
        "Un train part avec {a} passagers. Au premier arrêt, {b} montent et {c} descendent. "
        "Combien y en a-t-il à bord ?",
        "Voyons. Au départ il y en a {a}. {b} montent : {a} + {b} = {ab}. Puis {c} descendent : "
        "{ab} - {c} = {r}. Vérifions : oui, c'est bien {r}.",
        "Il y a **{r}** passagers à bord : ${a} + {b} - {c} = \\boxed{{{r}}}$.",
    ),
    (
        "Un tren sale con {a} pasajeros. En la primera parada suben {b} y bajan {c}. "
        "¿Cuántos hay a bordo?",
        "Veamos. Al principio hay {a}. Suben {b}: {a} + {b} = {ab}. Luego bajan {c}: "
        "{ab} - {c} = {r}. Compruebo: sí, {r}.",
        "Hay **{r}** pasajeros a bordo: ${a} + {b} - {c} = \\boxed{{{r}}}$.",
    ),
    (
        "Ein Zug fährt mit {a} Fahrgästen ab. Am ersten Halt steigen {b} ein und {c} aus. "
        "Wie viele sind an Bord?",
        "Überlegen wir. Am Anfang sind es {a}. {b} steigen ein: {a} + {b} = {ab}. Dann steigen {c} "
        "aus: {ab} - {c} = {r}. Probe: stimmt, {r}.",
        "An Bord sind **{r}** Fahrgäste: ${a} + {b} - {c} = \\boxed{{{r}}}$.",
    ),
)
_EQUATIONS = (
    "Solve {a}x + {b} = {right} for x.",
    "I need x with {a}x + {b} = {right}. First subtract {b}: {a}x = {right} - {b} = {product}. "
    "Then divide by {a}: x = {product}/{a} = {x}. Check: {a} * {x} = {product}, plus {b} is "
    "{right}. Good.",
    "Subtract ${b}$ from both sides and divide by ${a}$:\n\n$$x = \\frac{{{right} - {b}}}{{{a}}} = "
    "\\boxed{{{x}}}$$",
)
_PROGRAMS = (
    "Write a Python function `{name}(numbers)` that returns the {what} of a list, and explain it.",
    "The user wants the {what}. Edge cases: an empty list has none, so raise ValueError. Otherwise "
    "{how}. I should keep it short, add a type hint and a docstring, and say that it is O({cost}).",
    '```python\ndef {name}(numbers: list[float]) -> float:\n    """Return the {what}."""\n'
    '    if not numbers:\n        raise ValueError("empty list")\n    return {code}\n```\n\n'
    "It {how} and takes O({cost}) time; an empty list raises `ValueError`.",
)
_TASKS = (
    ("mean", "arithmetic mean", "adds everything and divides by the count", "n",
     "sum(numbers) / len(numbers)"),
    ("median", "median", "sorts and takes the middle", "n log n",
     "sorted(numbers)[len(numbers) // 2]"),
    ("span", "difference of largest and smallest", "finds both ends", "n",
     "max(numbers) - min(numbers)"),
    ("energy", "sum of squares", "squares each and adds", "n", "sum(x * x for x in numbers)"),
)  # fmt: skip


def built_in_documents() -> list[dict[str, Any]]:
    """Documents as calibration_data takes them: conversations and reading matter in turn."""
    conversations = list(_conversations(random.Random(0)))
    reading = list(_reading())
    documents = []
    for place in range(max(len(conversations), len(reading))):
        documents.append(conversations[place % len(conversations)])
        if place < len(reading):
            documents.append(reading[place])
    return documents


def _conversations(generator: random.Random) -> Iterator[dict[str, Any]]:
    for number in range(_CONVERSATIONS):
        kind = number % 3
        if kind == 0:
            yield _sum(generator, _SUMS[number // 3 % len(_SUMS)])
        elif kind == 1:
            a, b, x = (generator.randint(2, 99) for _ in range(3))
            yield _conversation(_EQUATIONS, a=a, b=b, x=x, product=a * x, right=a * x + b)
        else:
            name, what, how, cost, code = generator.choice(_TASKS)
            name = f"{name}_{generator.randint(1, 99)}"
            yield _conversation(_PROGRAMS, name=name, what=what, how=how, cost=cost, code=code)


def _sum(generator: random.Random, template: tuple[str, str, str]) -> dict[str, Any]:
    a, b = generator.randint(20, 900), generator.randint(2, 300)
    c = generator.randint(1, a)
    return _conversation(template, a=a, b=b, c=c, ab=a + b, r=a + b - c)


def _conversation(template: tuple[str, str, str], **values: object) -> dict[str, Any]:
    question, reasoning, answer = (part.format(**values) for part in template)
    return {
        "kind": "reasoning",
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "reasoning": reasoning, "content": answer},
        ],
    }


def _reading() -> Iterator[dict[str, Any]]:
    """The manual's chapters and the library's modules, in pieces, a piece of each in turn."""
    from pydoc_data.topics import topics

    prose = "\n\n".join(topics[name] for name in sorted(topics))
    code = "\n\n".join(_source_of(module) for module in _CODE)
    for begin in range(0, len(prose), _DOCUMENT_CHARACTERS):
        yield {"text": prose[begin : begin + _DOCUMENT_CHARACTERS], "kind": "prose"}
        if begin < len(code):
            yield {"text": code[begin : begin + _DOCUMENT_CHARACTERS], "kind": "code"}


def _source_of(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    return Path(spec.origin).read_text("utf-8")
