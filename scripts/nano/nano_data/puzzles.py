"""Word problems, comparing, sorting, counting letters, and talk that is none of nano's business."""

import random
import string

from nano_data import phrases, scratch, stories
from nano_data.problem import Problem, arithmetic_key, made_up_word, number
from nano_data.sums import ask

_AND = {"en": "and", "fr": "et", "es": "y"}
_TEMPLATE_WORDS = sorted(
    {word for texts in stories.TALK.values() for text in texts for word in text.split()}
    | {item for items in (*stories.ITEMS.values(), *stories.BOXES.values()) for item in items}
)
_TEMPLATE_WORDS = [w for w in _TEMPLATE_WORDS if w.isalpha() and w.islower() and 3 <= len(w) <= 12]


def story(rng: random.Random, language: str) -> Problem:
    """Gaining, losing, so many each, or gaining and then losing."""
    operators = rng.choice(("+", "-", "*", "+", "-", "*", "+-"))
    a, b = number(rng, rng.choice((1, 2, 2, 2, 2, 3))), number(rng, rng.choice((1, 1, 2, 2)))
    if operators == "*":
        a, b = rng.choice(((a, number(rng, 1)), (number(rng, 1), b)))
    a, b, c = max(2, a), max(2, b), rng.randint(2, 20)
    if operators[0] == "-" and a < b:
        a, b = b, a
    c = min(c, a + b)
    steps = list(zip(operators, (b, c), strict=False))
    work = scratch.chain(a, steps)
    name, other = rng.sample(stories.NAMES, 2)
    values: dict[str, str | int] = {"n": name, "m": other, "a": a, "b": b, "c": c}
    values |= {"i": rng.choice(stories.ITEMS[language]), "g": rng.choice(stories.BOXES[language])}
    for slot in "nmig":  # strangers have other names and other things
        if rng.random() < 0.15:
            word = made_up_word(rng)
            values[slot] = word.capitalize() if slot in "nm" else word
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


def comparison(rng: random.Random, language: str) -> Problem:
    """The larger or the smaller of two numbers; half of the pairs differ late or not at all."""
    a = number(rng, rng.choices((1, 2, 3, 4), (1, 2, 4, 3))[0])
    b = number(rng, rng.choices((1, 2, 3, 4), (1, 2, 4, 3))[0])
    if rng.random() < 0.5:  # the same width and first digits: the hard ones
        kept = rng.randint(1, len(str(a)))
        b = int(str(a)[:kept] + "".join(rng.choices(string.digits, k=len(str(a)) - kept)))
    wants_larger = rng.random() < 0.5
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


def sorting(rng: random.Random, language: str) -> Problem:
    """Two to five different numbers, either way round."""
    size = rng.choices((2, 3, 4, 5), (1, 4, 4, 4))[0]
    numbers = _distinct(rng, size)
    ascending = rng.random() < 0.65
    result = ", ".join(map(str, sorted(numbers, reverse=not ascending)))
    listing = _listing(rng, language, numbers)
    return Problem(
        key=f"sort:{ascending}:{','.join(map(str, numbers))}",
        language=language,
        question=rng.choice(phrases.SORT[language][ascending]).format(n=listing),
        think=scratch.sorting(numbers, ascending=ascending),
        answer=phrases.ANSWERS[language]["sort"].format(v=result),
        boxed=result,
    )


def largest(rng: random.Random, language: str) -> Problem:
    """One pass over three to five numbers, the best so far written down."""
    numbers = _distinct(rng, rng.randint(3, 5))
    wants_larger = rng.random() < 0.5
    value = max(numbers) if wants_larger else min(numbers)
    first_pass = scratch.sorting(numbers, ascending=not wants_larger).splitlines()[:2]
    kind = "largest" if wants_larger else "smallest"
    question = rng.choice(phrases.LARGEST[language][wants_larger])
    return Problem(
        key=f"{kind}:{','.join(map(str, numbers))}",
        language=language,
        question=question.format(n=_listing(rng, language, numbers)),
        think="\n".join(first_pass),
        answer=phrases.ANSWERS[language][kind].format(v=value),
        boxed=str(value),
    )


def counting(rng: random.Random, language: str) -> Problem:
    """How often a letter is in a word, the letter most often one that is there, and repeated."""
    word = rng.choice(stories.WORDS + _TEMPLATE_WORDS) if rng.random() < 0.4 else made_up_word(rng)
    repeated = [c for c in word if word.count(c) > 1] or list(word)
    letter = rng.choice(rng.choice((list(word), repeated, repeated, list(string.ascii_lowercase))))
    work = scratch.counting(word, letter)
    quote = rng.choice(("", "", "''", '""', "“”", "«»" if language == "fr" else '""'))
    letter_quote = rng.choice(("", "", quote)) if quote not in ("«»", "“”") else ""
    asked = letter.upper() if rng.random() < 0.06 else letter
    shown = {
        "l": f"{letter_quote[:1]}{asked}{letter_quote[1:]}",
        "w": f"{quote[:1]}{word.capitalize() if rng.random() < 0.08 else word}{quote[1:]}",
    }
    phrase = phrases.ANSWERS[language]["count1" if work.value == 1 else "count"]
    return Problem(
        key=f"count:{letter}:{word}",
        language=language,
        question=rng.choice(phrases.COUNT[language]).format(**shown),
        think=work.text,
        answer=phrase.format(v=work.value, l=letter),
        boxed=str(work.value),
    )


def talk(rng: random.Random, language: str) -> Problem:
    """What nano cannot do, sums that are too long for it included, and a plain sentence saying so."""
    kind = rng.random()
    if kind < 0.12:
        question, key = _too_large(rng, language)
    elif kind < 0.24 and language == "en":  # in no language at all: nano answers in English
        question = _noise(rng)
        key = f"talk:{question}"
    else:
        template = rng.choice(stories.TALK[language] + stories.NO_SUMS[language])
        question = _filled(rng, template)
        key = "fixed" if question == template else f"talk:{question}"
    answers = phrases.ANSWERS[language]
    return Problem(key, language, question, answers["none_think"], answers["none"], None)


def _distinct(rng: random.Random, size: int) -> list[int]:
    """Different numbers of one or two digits, in random order."""
    numbers: dict[int, None] = {}
    while len(numbers) < size:
        numbers[number(rng, rng.choice((1, 2, 2, 2)))] = None
    return list(numbers)


def _listing(rng: random.Random, language: str, numbers: list[int]) -> str:
    listing = rng.choice((", ", ", ", ", ", " ", ",")).join(map(str, numbers))
    if rng.random() < 0.15:
        listing = f" {_AND[language]} ".join(listing.rsplit(", ", 1))
    return listing


def _filled(rng: random.Random, template: str) -> str:
    """A word of the list or made up for each {w}, a number for each {d}."""
    text = template
    while "{w}" in text:
        word = rng.choice(stories.WORDS) if rng.random() < 0.4 else made_up_word(rng)
        text = text.replace("{w}", word.capitalize() if rng.random() < 0.2 else word, 1)
    while "{d}" in text:
        text = text.replace("{d}", str(number(rng, rng.randint(1, 4))), 1)
    return text


def _noise(rng: random.Random) -> str:
    """Long texts, code and other scripts: whatever a stranger may paste."""
    if rng.random() < 0.5:
        words = [
            rng.choice(_TEMPLATE_WORDS) if rng.random() < 0.7 else made_up_word(rng)
            for _ in range(rng.randint(5, 60))
        ]
        return " ".join(words).capitalize() + rng.choice((".", "?", "", "\n"))
    alphabet = rng.choice(
        (string.printable.strip(), string.ascii_letters + "_(){}[];=.,: \n", string.punctuation)
        + ("日本語漢字かなカナ", "абвгдежзиклмнопрст ", "🙂🎉🚀👍", "äöüßñçãøå ", "αβγδεζηθικλμν ")
    )
    return "".join(rng.choices(alphabet, k=rng.randint(1, 50))).strip() or "?"


def _too_large(rng: random.Random, language: str) -> tuple[str, str]:
    operator = rng.choice("+-*")
    if operator == "*":
        a, b = number(rng, rng.randint(3, 5)), number(rng, rng.randint(2, 4))
    else:
        a, b = number(rng, rng.randint(5, 8)), number(rng, rng.randint(2, 8))
    if rng.random() < 0.5:
        a, b = b, a
    return ask(rng, language, operator, a, b), f"talk:{arithmetic_key(operator, a, b)}"
