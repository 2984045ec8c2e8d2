"""Problems with their scratch work and answer, and the split that keeps some of them unseen.

A problem's key names its task and operands, never its wording or language, so a held-out problem is
held out in every phrasing: 18 of 20 keys train, one tunes, one is for the final test.
"""

import hashlib
import random
import string
from collections.abc import Callable
from dataclasses import dataclass, replace

from nano_data import phrases, scratch, stories

SPLITS = ("train", "tune", "test")


@dataclass(frozen=True)
class Problem:
    """One question with everything nano should write for it; `expression` is what a calculator gets."""

    key: str
    language: str
    question: str
    think: str
    answer: str
    boxed: str | None
    value: int | None = None
    expression: str | None = None
    operator: str = ""


def split_of(key: str) -> str:
    """Which split the problem of this key belongs to; keys without operands always train."""
    if key == "fixed":
        return "train"
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % 20
    return {18: "tune", 19: "test"}.get(bucket, "train")


def draw(task: str, rng: random.Random, split: str, language: str | None = None) -> Problem:
    """A random problem of the task whose key falls into the split."""
    while True:
        chosen = language or rng.choices(phrases.LANGUAGES, (2, 1, 1))[0]
        problem = TASKS[task](rng, chosen)
        if split_of(problem.key) == split:
            return problem


def arithmetic_key(operator: str, a: int, b: int) -> str:
    """345+67 and 67+345 are one problem; so are 7*8 and 8*7."""
    if operator != "-":
        a, b = min(a, b), max(a, b)
    return f"{operator}:{a}:{b}"


def arithmetic(
    rng: random.Random, language: str, operator: str, a: int, b: int, question: str | None = None
) -> Problem:
    """The problem `a operator b`, asked in one of many ways."""
    work = scratch.OPERATIONS[operator](a, b)
    return Problem(
        key=arithmetic_key(operator, a, b),
        language=language,
        question=question or _ask(rng, language, operator, a, b),
        think=work.text,
        answer=phrases.ANSWERS[language][operator].format(v=work.value),
        boxed=str(work.value),
        value=work.value,
        expression=f"{a}{operator}{b}",
        operator=operator,
    )


def follow_up(rng: random.Random, previous: Problem, split: str, digits: int = 3) -> Problem:
    """`now add 5`: an operation on the previous value, whose scratch work starts by copying it."""
    assert previous.value is not None and previous.value >= 0
    while True:
        a = previous.value
        operator = rng.choice("++-*") if a < 1000 or digits > 3 else rng.choice("+-")
        b = number(rng, rng.randint(1, digits))
        if operator == "*" and digits <= 3:
            b = number(rng, 2 if a < 100 and rng.random() < 0.3 else 1)
        if operator == "-" and b > a:
            b = rng.randint(0, a)
        if split_of(arithmetic_key(operator, a, b)) == split:
            break
    text = rng.choice(phrases.FOLLOW_UP[previous.language][operator]).format(b=b)
    return arithmetic(rng, previous.language, operator, a, b, text)


def number(rng: random.Random, digits: int) -> int:
    """Uniform over the numbers of that many digits; 0 counts as a one-digit number."""
    return rng.randint(0 if digits == 1 else 10 ** (digits - 1), 10**digits - 1)


def made_up_word(rng: random.Random) -> str:
    """A pronounceable word of 3 to 12 letters, sometimes just letters."""
    if rng.random() < 0.2:
        letters = rng.choices(string.ascii_lowercase, k=rng.randint(2, 4))
        return "".join(rng.choices(letters, k=rng.randint(3, 10)))
    word, length = "", rng.choice((3, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 12))
    while len(word) < length:
        word += rng.choice("bcdfghjklmnprstvwz") + rng.choice(("", "", "", "r", "l")) + rng.choice("aeiou")
        word += rng.choice(("", "", "n", "s", "r", "l", "tt", "ss", "rr", "m"))
    return word[:length]


def _ask(rng: random.Random, language: str, operator: str, a: int, b: int) -> str:
    if language == "en" and rng.random() < 0.25:
        return f"What is {a} {rng.choice(phrases.SIGNS[operator])} {b}?"
    if rng.random() < 0.2:
        return rng.choice(phrases.SENTENCE[language][operator]).format(a=a, b=b)
    template = rng.choice(phrases.EXPRESSION[language])
    return template.format(e=_expression(rng, language, [a, b], operator, template == "{e}"))


def _expression(
    rng: random.Random, language: str, numbers: list[int], operators: str, is_bare: bool = False
) -> str:
    uses_words = rng.random() < 0.25 and not is_bare
    space = " " if uses_words or rng.random() < 0.65 else ""
    text = str(numbers[0])
    for operator, operand in zip(operators, numbers[1:], strict=True):
        signs = phrases.WORDS[language] if uses_words else phrases.SIGNS
        text += f"{space}{rng.choice(signs[operator])}{space}{operand}"
    return text


def _pair(rng: random.Random) -> tuple[int, int]:
    """Longer numbers more often: there are more of them, and more can go wrong."""
    widths = rng.choices((1, 2, 3), (1, 2, 4), k=2)
    return number(rng, widths[0]), number(rng, widths[1])


def _addition(rng: random.Random, language: str) -> Problem:
    a, b = _pair(rng)
    return arithmetic(rng, language, "+", a, b)


def _subtraction(rng: random.Random, language: str) -> Problem:
    a, b = _pair(rng)
    if a < b and rng.random() < 0.6:
        a, b = b, a
    return arithmetic(rng, language, "-", a, b)


def _large(rng: random.Random, language: str) -> Problem:
    a, b = number(rng, 4), number(rng, rng.randint(2, 4))
    if rng.random() < 0.5:
        return arithmetic(rng, language, "-", max(a, b), min(a, b))
    if rng.random() < 0.5:
        a, b = b, a
    return arithmetic(rng, language, "+", a, b)


def _product_by_digit(rng: random.Random, language: str) -> Problem:
    a, b = number(rng, rng.choice((1, 2, 2, 3, 3, 3))), number(rng, 1)
    if rng.random() < 0.25:
        a, b = b, a
    return arithmetic(rng, language, "*", a, b)


def _product_2x2(rng: random.Random, language: str) -> Problem:
    return arithmetic(rng, language, "*", number(rng, 2), number(rng, 2))


def _chain(rng: random.Random, language: str) -> Problem:
    while True:
        numbers = [number(rng, rng.randint(1, 3)) for _ in range(3)]
        operators = rng.choice(("++", "++", "+-", "-+", "--"))
        middle = numbers[0] + numbers[1] if operators[0] == "+" else numbers[0] - numbers[1]
        if middle >= 0 and (operators[1] == "+" or middle >= numbers[2]):
            break
    work = scratch.chain(numbers[0], list(zip(operators, numbers[1:], strict=True)))
    template = rng.choice(phrases.EXPRESSION[language])
    question = template.format(e=_expression(rng, language, numbers, operators, template == "{e}"))
    plain = f"{numbers[0]}{operators[0]}{numbers[1]}{operators[1]}{numbers[2]}"
    answer = phrases.ANSWERS[language]["chain"].format(v=work.value)
    think = f"{plain}\n{work.text}"
    key = f"chain:{plain}"
    return Problem(key, language, question, think, answer, str(work.value), work.value, plain, "chain")


def _comparison(rng: random.Random, language: str) -> Problem:
    a = number(rng, rng.choices((1, 2, 3, 4), (1, 2, 4, 3))[0])
    b = number(rng, rng.choices((1, 2, 3, 4), (1, 2, 4, 3))[0])
    if rng.random() < 0.5:  # the same width and first digits: the hard ones
        kept = rng.randint(1, len(str(a)))
        b = int(str(a)[:kept] + "".join(rng.choices(string.digits, k=len(str(a)) - kept)))
    wants_larger = rng.random() < 0.6
    work = scratch.comparison(a, b, wants_larger=wants_larger)
    kind = "equal" if a == b else ("larger" if wants_larger else "smaller")
    return Problem(
        key=f"compare:{min(a, b)}:{max(a, b)}",
        language=language,
        question=rng.choice(phrases.COMPARE[language][wants_larger]).format(a=a, b=b),
        think=work.text,
        answer=phrases.ANSWERS[language][kind].format(v=work.value),
        boxed=str(work.value),
    )


def _sorting(rng: random.Random, language: str) -> Problem:
    numbers = [number(rng, rng.choice((1, 2, 2, 2))) for _ in range(rng.randint(3, 5))]
    ascending = rng.random() < 0.65
    result = ", ".join(map(str, sorted(numbers, reverse=not ascending)))
    listing = rng.choice((", ", ", ", ", ", " ", ",")).join(map(str, numbers))
    return Problem(
        key=f"sort:{ascending}:{','.join(map(str, numbers))}",
        language=language,
        question=rng.choice(phrases.SORT[language][ascending]).format(n=listing),
        think=scratch.sorting(numbers, ascending=ascending),
        answer=phrases.ANSWERS[language]["sort"].format(v=result),
        boxed=result,
    )


def _counting(rng: random.Random, language: str) -> Problem:
    word = rng.choice(stories.WORDS + _TEMPLATE_WORDS) if rng.random() < 0.4 else made_up_word(rng)
    repeated = [c for c in word if word.count(c) > 1] or list(word)
    letter = rng.choice(rng.choice((list(word), repeated, repeated, list(string.ascii_lowercase))))
    work = scratch.counting(word, letter)
    quote = rng.choice(("", "", "''", '""', "“”", "«»" if language == "fr" else '""'))
    letter_quote = rng.choice(("", "", quote)) if quote not in ("«»", "“”") else ""
    shown = {"l": f"{letter_quote[:1]}{letter}{letter_quote[1:]}", "w": f"{quote[:1]}{word}{quote[1:]}"}
    phrase = phrases.ANSWERS[language]["count1" if work.value == 1 else "count"]
    return Problem(
        key=f"count:{letter}:{word}",
        language=language,
        question=rng.choice(phrases.COUNT[language]).format(**shown),
        think=work.text,
        answer=phrase.format(v=work.value, l=letter),
        boxed=str(work.value),
    )


def _story(rng: random.Random, language: str) -> Problem:
    operators = rng.choice(("+", "-", "*", "+", "-", "*", "+-"))
    a, b = number(rng, rng.choice((1, 2, 2, 3))), number(rng, rng.choice((1, 1, 2, 2)))
    if operators == "*":
        a, b = rng.choice(((a, number(rng, 1)), (number(rng, 1), b)))
    a, b, c = max(2, a), max(2, b), rng.randint(2, 20)
    if operators[0] == "-" and a < b:
        a, b = b, a
    c = min(c, a + b)
    steps = list(zip(operators, (b, c), strict=False))
    work = scratch.chain(a, steps)
    name, other = rng.sample(stories.NAMES, 2)
    values = {"n": name, "m": other, "a": a, "b": b, "c": c}
    values |= {"i": rng.choice(stories.ITEMS[language]), "g": rng.choice(stories.BOXES[language])}
    plain = f"{a}{operators[0]}{b}" + (f"-{c}" if operators == "+-" else "")
    return Problem(
        key=f"story:{plain}",
        language=language,
        question=rng.choice(stories.STORIES[language][operators]).format(**values),
        think=work.text,
        answer=phrases.ANSWERS[language]["word"].format(v=work.value),
        boxed=str(work.value),
        value=work.value,
        expression=plain,
        operator="word",
    )


def _talk(rng: random.Random, language: str) -> Problem:
    """What nano cannot do, sums that are too long for it included, and a plain sentence saying so."""
    key = ""
    if rng.random() < 0.15:
        question, key = _too_large(rng, language)
    else:
        template = rng.choice(stories.TALK[language])
        question = template
        while "{w}" in question:
            word = rng.choice(stories.WORDS) if rng.random() < 0.4 else made_up_word(rng)
            question = question.replace("{w}", word.capitalize() if rng.random() < 0.2 else word, 1)
        while "{d}" in question:
            question = question.replace("{d}", str(number(rng, rng.randint(1, 4))), 1)
        key = "fixed" if question == template else f"talk:{question}"
    answers = phrases.ANSWERS[language]
    return Problem(key, language, question, answers["none_think"], answers["none"], None)


def _too_large(rng: random.Random, language: str) -> tuple[str, str]:
    operator = rng.choice("+-*")
    if operator == "*":
        a, b = number(rng, rng.randint(3, 5)), number(rng, rng.randint(2, 4))
    else:
        a, b = number(rng, rng.randint(5, 8)), number(rng, rng.randint(2, 8))
    if rng.random() < 0.5:
        a, b = b, a
    return _ask(rng, language, operator, a, b), f"talk:{arithmetic_key(operator, a, b)}"


def large_for_tool(rng: random.Random, language: str) -> Problem:
    """What only the calculator can do; the scratch work is not used, so it is dropped."""
    operator = rng.choice("+-**")
    top = 4 if operator == "*" else 6
    a, b = number(rng, rng.randint(1, top)), number(rng, rng.randint(1, top))
    value = {"+": a + b, "-": a - b, "*": a * b}[operator]
    small = arithmetic(rng, language, operator, 1, 1, _ask(rng, language, operator, a, b))
    return replace(
        small,
        key=arithmetic_key(operator, a, b),
        think="",
        answer=phrases.ANSWERS[language][operator].format(v=value),
        boxed=str(value),
        value=value,
        expression=f"{a}{operator}{b}",
    )


_TEMPLATE_WORDS = sorted(
    {word for texts in stories.TALK.values() for text in texts for word in text.split()}
    | {item for items in (*stories.ITEMS.values(), *stories.BOXES.values()) for item in items}
)
_TEMPLATE_WORDS = [w for w in _TEMPLATE_WORDS if w.isalpha() and w.islower() and 3 <= len(w) <= 12]

TASKS: dict[str, Callable[[random.Random, str], Problem]] = {
    "addition": _addition,
    "subtraction": _subtraction,
    "product_by_digit": _product_by_digit,
    "product_2x2": _product_2x2,
    "story": _story,
    "chain": _chain,
    "comparison": _comparison,
    "sorting": _sorting,
    "counting": _counting,
    "large": _large,
    "talk": _talk,
    "large_for_tool": large_for_tool,
}
