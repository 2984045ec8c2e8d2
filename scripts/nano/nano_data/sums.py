"""Additions, subtractions, products and chains of them, asked in many ways."""

import random
from dataclasses import replace

from nano_data import phrases, scratch
from nano_data.problem import Problem, arithmetic_key, number


def arithmetic(
    rng: random.Random, language: str, operator: str, a: int, b: int, question: str | None = None
) -> Problem:
    """The problem `a operator b`, asked in one of many ways."""
    work = scratch.OPERATIONS[operator](a, b)
    return Problem(
        key=arithmetic_key(operator, a, b),
        language=language,
        question=question or ask(rng, language, operator, a, b),
        think=work.text,
        answer=phrases.ANSWERS[language][operator].format(v=work.value),
        boxed=str(work.value),
        value=work.value,
        expression=f"{a}{operator}{b}",
        operator=operator,
    )


def ask(rng: random.Random, language: str, operator: str, a: int, b: int) -> str:
    """The question, in one of the many wordings of the language."""
    if language == "en" and rng.random() < 0.25:
        return f"What is {a} {rng.choice(phrases.SIGNS[operator])} {b}?"
    if rng.random() < 0.2:
        return rng.choice(phrases.SENTENCE[language][operator]).format(a=a, b=b)
    template = rng.choice(phrases.EXPRESSION[language])
    return template.format(e=_expression(rng, language, [a, b], operator, template == "{e}"))


def addition(rng: random.Random, language: str) -> Problem:
    """Two numbers of one to three digits."""
    a, b = _pair(rng)
    return arithmetic(rng, language, "+", a, b)


def subtraction(rng: random.Random, language: str) -> Problem:
    """Two numbers of one to three digits; about a fifth of the results are negative."""
    a, b = _pair(rng)
    if a < b and rng.random() < 0.6:
        a, b = b, a
    return arithmetic(rng, language, "-", a, b)


def large(rng: random.Random, language: str) -> Problem:
    """Four digits with two to four: a little further than what is advertised."""
    a, b = number(rng, 4), number(rng, rng.randint(2, 4))
    if rng.random() < 0.5:
        return arithmetic(rng, language, "-", max(a, b), min(a, b))
    if rng.random() < 0.5:
        a, b = b, a
    return arithmetic(rng, language, "+", a, b)


def product_by_digit(rng: random.Random, language: str) -> Problem:
    """A number of one to three digits times one digit, in either order."""
    a, b = number(rng, rng.choice((1, 2, 2, 3, 3, 3))), number(rng, 1)
    if rng.random() < 0.25:
        a, b = b, a
    return arithmetic(rng, language, "*", a, b)


def product_2x2(rng: random.Random, language: str) -> Problem:
    """Two numbers of two digits."""
    return arithmetic(rng, language, "*", number(rng, 2), number(rng, 2))


def chain(rng: random.Random, language: str) -> Problem:
    """Three numbers added or subtracted in turn, never below zero."""
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
    return Problem(
        key, language, question, think, answer, str(work.value), work.value, plain, "chain"
    )


def large_for_tool(rng: random.Random, language: str) -> Problem:
    """What only the calculator can do; the scratch work is not used, so it is dropped."""
    operator = rng.choice("+-**")
    top = 4 if operator == "*" else 6
    a, b = number(rng, rng.randint(1, top)), number(rng, rng.randint(1, top))
    value = {"+": a + b, "-": a - b, "*": a * b}[operator]
    small = arithmetic(rng, language, operator, 1, 1, ask(rng, language, operator, a, b))
    return replace(
        small,
        key=arithmetic_key(operator, a, b),
        think="",
        answer=phrases.ANSWERS[language][operator].format(v=value),
        boxed=str(value),
        value=value,
        expression=f"{a}{operator}{b}",
    )


def _expression(
    rng: random.Random, language: str, numbers: list[int], operators: str, is_bare: bool = False
) -> str:
    uses_words = rng.random() < 0.25 and (language == "en" or not is_bare)
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
