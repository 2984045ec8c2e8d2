"""Texts that only repeat themselves: in the thinking, in an answer, in arguments."""

import random
from collections.abc import Iterator

from loop_texts.labelled import ARGUMENTS, CONTENT, REASONING, LoopText, prose

_QUESTION = "What is 37 + 48?"


def loops() -> list[LoopText]:
    """Verbatim blocks of many lengths, counters, few lines in no order."""
    return [*_verbatim(), *_counting(), *_few_lines(), *_answers(), *_arguments()]


def _loop(kind: str, name: str, text: str, prompt: str = _QUESTION) -> LoopText:
    return LoopText(f"thinking: {kind}", name, REASONING, prompt, text, is_loop=True)


def _verbatim() -> Iterator[LoopText]:
    rng = random.Random(5)
    for words in (3, 8, 14, 26, 40, 80, 150, 300, 900):
        start, block = prose(rng, 60), prose(rng, words)
        repeats = max(14, 700 // words)
        yield _loop("verbatim", f"a block of {words} words", start + block * repeats)
    for name, block in {
        "a paragraph with itself inside": "Wait, let me check that again. "
        * 2
        + "So the sum is 85, and that is what we wanted to know. But is it really so? Let me go "
        "over the digits one more time.\n",
        "English, doubt": "But wait, the problem says that the number has to be even, so let me "
        "reconsider the second case.\n\n",
        "German": "Also müssen wir noch einmal prüfen, ob die Lösung wirklich stimmt, denn es "
        "könnte sein, dass ich mich zuvor verrechnet habe und alles falsch wäre.\n",
        "French": "Attendez, je dois vérifier encore une fois que la somme des chiffres est bien "
        "divisible par neuf, car je n'en suis pas sûr.\n",
        "Spanish": "Espera, quizás me he equivocado en el primer paso, así que voy a repasar todo "
        "el cálculo desde el principio.\n",
        "Chinese": "等等，我需要再检查一遍这个结果，因为我不确定第二步是否正确。\n",  # noqa: RUF001
        "Japanese": "いや、もう一度最初から考え直してみよう。どこかで間違えたかもしれない。\n",
        "Russian": "Подождите, нужно ещё раз проверить это вычисление, потому что я не уверен, что "
        "второй шаг верен.\n",
        "Arabic": "انتظر، دعني أتحقق من هذه النتيجة مرة أخرى لأنني لست متأكدا من الخطوة الثانية.\n",
        "with a formula in it": "So $x^2 + 3x = 10$, hence $x = 2$ or $x = -5$. But $x$ must be "
        "positive. Hmm, let me verify by substituting back into the equation.\n",
    }.items():
        yield _loop("verbatim", name, "Let me think.\n" + block * 60)
    yield _loop(
        "verbatim",
        "a draft in code",
        "def solve(n):\n    if n == 0:\n        return 0\n    return solve(n - 1)\n\n" * 80,
    )
    yield _loop("verbatim", "zeros", "The expansion is 0." + "0, 0" * 2000)


def _counting() -> Iterator[LoopText]:
    yield _loop(
        "counting",
        "a counter in front",
        "".join(
            f"Attempt {n}: let me go over this once more and check every step carefully before I "
            "give the final answer to the user, because I may be wrong.\n"
            for n in range(1, 60)
        ),
    )
    yield _loop(
        "counting",
        "a counter in the middle, German",
        "".join(
            "Warte, ich sollte die ganze Herleitung noch einmal von vorn prüfen, das ist nun die "
            f"Prüfung Nummer {n}, damit unterwegs auch wirklich nichts übersehen wurde.\n"
            for n in range(1, 60)
        ),
    )
    yield _loop(
        "counting",
        "two counters",
        "".join(
            f"So step {n} follows from step {n + 1}, and therefore the claim holds for all of the "
            "remaining cases as well, which is what I wanted to show in the first place.\n"
            for n in range(60)
        ),
    )
    yield _loop(
        "counting",
        "a counter that grows by tens, Spanish",
        "".join(
            f"Intento {10 * n}: reviso otra vez todos los pasos con cuidado antes de dar la "
            "respuesta final, porque es posible que me haya equivocado en alguno.\n"
            for n in range(1, 60)
        ),
    )


def _few_lines() -> Iterator[LoopText]:
    for name, lines in {
        "three lines in no order": [
            "No wait, that cannot be right, let me start from the beginning once more.\n",
            "Hmm, but then the second condition would not hold for the smaller one.\n",
            "So the answer must be 12, unless I made a mistake in the first step.\n",
        ],
        "four lines in no order, French": [
            "Non, ce n'est pas possible, je reprends le calcul depuis le début.\n",
            "Mais alors la deuxième condition ne serait plus vérifiée du tout.\n",
            "Donc la réponse doit être douze, sauf erreur de ma part.\n",
            "Vérifions encore une fois la première étape du raisonnement.\n",
        ],
    }.items():
        rng = random.Random(name)
        yield _loop("few lines", name, "".join(rng.choice(lines) for _ in range(150)))


def _answers() -> Iterator[LoopText]:
    for name, block in {
        "a sentence": "The result is therefore the one that was given above, as we have shown.\n",
        "a paragraph": "In conclusion, the method works in all of the cases that matter here. It "
        "is simple, it is fast, and it can be explained to anybody in a few minutes. That is why "
        "it should be preferred over the others whenever there is a choice.\n\n",
        "a heading and its text, German": "## Zusammenfassung\n\nDie Lösung ist richtig, weil alle "
        "Bedingungen erfüllt sind und kein Schritt übersprungen wurde.\n\n",
        "French": "En résumé, la réponse finale est celle que nous avons trouvée plus haut.\n",
        "Chinese": "综上所述，最终答案就是我们在上面已经得到的那个结果。\n",  # noqa: RUF001
        "Hindi": "इसलिए अंतिम उत्तर वही है जो ऊपर दिया गया है और जिसे हमने सिद्ध किया है।\n",
        "a formula": "$$\\boxed{x = \\frac{-b + \\sqrt{b^2 - 4ac}}{2a}}$$\n\n",
        "code": "    result = process(result)\n    if result is None:\n        raise ValueError\n",
        "one word": "very ",
        "markup": '<div class="row"><div class="column"><span>Text</span></div></div>\n',
    }.items():
        repeats = max(12, 16_000 // len(block.encode()))
        yield LoopText("answer", name, CONTENT, _QUESTION, block * repeats, is_loop=True)
    for name, block in {"line ends": "\n \n", "dashes": "- ", "zeros": "0, "}.items():
        yield LoopText("answer", name, CONTENT, _QUESTION, block * 12_000, is_loop=True)


def _arguments() -> Iterator[LoopText]:
    for name, start, block in (
        ("a line of a file", '{"content": "', 'print(\\"hello, world\\")\\n'),
        ("equal rows", '{"rows": [', '{"title": "untitled", "status": "open", "tags": []}, '),
        ("a search that goes on, German", '{"query": "', "Wetter in Berlin heute und morgen "),
    ):
        text = start + block * 300
        yield LoopText("arguments", name, ARGUMENTS, _QUESTION, text, is_loop=True)
