"""A labelled set for the loop guard: true loops, and long repetitive text that is legitimate.

A loop is (how it begins, the block of one repeat); the guard is given many repeats of it.
"""

import random
from collections.abc import Callable

_WORDS = (
    "the a of sum number then we check again value so it is not clear because two three that "
    "result answer wait maybe first second left right with from under over time line point set"
).split()


def prose(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(words)) + ".\n"


def loops() -> dict[str, tuple[str, Callable[[int], str]]]:
    """Name -> what comes first, and the text of repeat n."""
    rng = random.Random(5)
    cases: dict[str, tuple[str, Callable[[int], str]]] = {}
    for words in (26, 28, 40, 80, 150, 300, 400):
        block = prose(rng, words)
        cases[f"verbatim block of {words} words"] = (prose(rng, 60), lambda n, block=block: block)
    cases["a paragraph with itself inside"] = (
        prose(rng, 30),
        lambda n: (
            "Wait, let me check that again. " * 2 + "So the sum is 85, and that is what we "
            "wanted to know. But is it really so? Let me go over the digits one more time.\n"
        ),
    )
    cases["counter in front"] = (
        "Let me think.\n",
        lambda n: (
            f"Attempt {n}: let me go over this once more and check every step carefully "
            "before I give the final answer to the user, because I may be wrong.\n"
        ),
    )
    cases["counter in the middle that grows a digit"] = (
        "",
        lambda n: (
            "Wait, I should verify the whole derivation again from the beginning, which is "
            f"now check number {n + 8}, to be sure that nothing was overlooked on the way.\n"
        ),
    )
    cases["two counters"] = (
        "",
        lambda n: (
            f"So step {n} follows from step {n + 1}, and therefore the claim holds for all "
            "of the remaining cases as well, which is what I wanted to show in the first place.\n"
        ),
    )
    cases["German, with accents"] = (
        "Überlegen wir.\n",
        lambda n: (
            "Also müssen wir noch einmal prüfen, ob die Lösung wirklich stimmt, denn es "
            "könnte sein, dass ich mich zuvor verrechnet habe und alles falsch wäre.\n"
        ),
    )
    return cases


def legitimate() -> dict[str, tuple[str, str]]:
    """Name -> what the user asked for, and the text."""
    rng = random.Random(7)
    services = ["api", "worker", "cache", "mailer"]
    log = "".join(
        f"2024-05-01T12:{n // 60:02}:{n % 60:02}Z INFO {rng.choice(services)}-{rng.randint(1, 4)} "
        f"GET /v1/users/{rng.randint(1, 999)} 200 in {rng.randint(2, 90)} ms\n"
        for n in range(300)
    )
    heartbeat = "".join(
        f"[2024-05-01 12:{n // 60:02}:{n % 60:02}] INFO heartbeat received from node 3, all "
        "systems nominal, queue empty\n"
        for n in range(300)
    )
    table = "".join(f"{a} x {b} = {a * b}\n" for a in range(1, 21) for b in range(1, 21))
    markdown = "| a | b | a+b |\n|---|---|---|\n" + "".join(
        f"| {a} | {b} | {a + b} |\n" for a in range(20) for b in range(15)
    )
    csv = "id,name,amount,paid\n" + "".join(
        f"{n},{rng.choice(services)},{rng.random():.2f},{rng.choice(['yes', 'no'])}\n"
        for n in range(400)
    )
    refrain = "And the river runs on,\nand the river runs on,\nunder bridges of stone,\n" * 2
    poem = "".join(prose(rng, 30).replace(" the ", ",\nthe ") + refrain for _ in range(12))
    bottles = "".join(
        f"{n} bottles of beer on the wall, {n} bottles of beer. Take one down and pass it around, "
        f"{n - 1} bottles of beer on the wall.\n"
        for n in range(99, 1, -1)
    )
    matrix = "[" + ",\n ".join("[" + ", ".join(["0"] * 12) + "]" for _ in range(12)) + "]"
    code = "".join(
        f'    if name == "{service}":\n        return make_{service}(options)\n'
        for service in (rng.choice(_WORDS) + rng.choice(_WORDS) for _ in range(80))
    )
    json = "[" + ", ".join(
        f'{{"id": {n}, "name": "{rng.choice(services)}", "active": true}}' for n in range(150)
    )
    lines = "I will not talk in class.\n" * 100
    numbered = "".join(f"{n}. I will not talk in class.\n" for n in range(1, 101))
    return {
        "access log": ("Write a sample log.", log),
        "heartbeat log": ("Write a sample log.", heartbeat),
        "multiplication tables": ("Tables to 20?", table),
        "Markdown table": ("Make a table of sums.", markdown),
        "CSV": ("Make test data as CSV.", csv),
        "poem with refrains": ("Write a long poem.", poem),
        "99 bottles": ("Sing 99 bottles of beer.", bottles),
        "matrix of zeros": ("A 12x12 zero matrix in Python?", matrix),
        "code": ("Write the factory.", code),
        "JSON records": ("Make test data as JSON.", json),
        "write A 200 times": ("Write A 200 times.", "A " * 200),
        "write AB 300 times": ("Write 'AB' 300 times without a break", "AB" * 300),
        "lines": ('Write "I will not talk in class." a hundred times.', lines),
        "numbered lines": ('Write "I will not talk in class" 100 times, numbered.', numbered),
        "a rule of dashes": ("Draw a separator.", "-" * 400 + "\n" + "= " * 100),
        "counting": ("Count to 500.", ", ".join(map(str, range(1, 501)))),
        "thinking over cases": (
            "Is 97 prime?",
            "".join(
                f"{n} does not divide 97, since 97 = {n} * {97 // n} + {97 % n}.\n"
                for n in range(2, 60)
            ),
        ),
    }
