"""Honest thinking: going through cases, following steps, drafting what was asked for."""

from collections.abc import Iterator

from loop_texts.labelled import REASONING, LoopText


def thinking() -> list[LoopText]:
    """Cases, and drafts."""
    return [*_cases(), *_drafts()]


def _cases() -> Iterator[LoopText]:
    def text(name: str, prompt: str, content: str) -> LoopText:
        return LoopText("thinking: cases", name, REASONING, prompt, content)

    yield text(
        "divisors",
        "Is 97 prime?",
        "".join(
            f"{n} does not divide 97, since 97 = {n} * {97 // n} + {97 % n}.\n"
            for n in range(2, 60)
        ),
    )
    yield text(
        "discriminants",
        "For which m up to 25 has x^2 + x - m integer roots?",
        "".join(
            f"For m = {n} the discriminant is {1 + 4 * n}, and I have to see whether that is the "
            "square of an odd number before I can say anything about the roots.\n"
            for n in range(1, 26)
        ),
    )
    yield text(
        "squares, one number that does not count on evenly",
        "Which n make n^2 + n + 41 prime?",
        "".join(
            f"With n equal to {n} the value is {n * n + n + 41}, which as far as I can see has no "
            "small divisor, so I take it to be a prime number and go on.\n"
            for n in range(80)
        ),
    )
    yield text(
        "a well, French",
        "Un escargot monte de 3 m le jour et glisse de 2 m la nuit. Quand sort-il du puits ?",
        "".join(
            f"Le jour {n}, l'escargot monte de trois mètres pendant la journée et glisse de deux "
            f"mètres pendant la nuit, il se trouve donc à {n} mètres du fond.\n"
            for n in range(1, 29)
        ),
    )
    yield text(
        "interest, German",
        "Wie viel ist ein Sparbuch mit 100 Euro im Monat nach 24 Monaten wert?",
        "".join(
            f"Im Monat {n} kommen wieder hundert Euro dazu, und damit liegen auf dem Sparbuch nun "
            f"insgesamt {100 * n} Euro, wenn man die Zinsen noch nicht mitzählt.\n"
            for n in range(1, 25)
        ),
    )
    yield text(
        "a hundred days, as many as the prompt names",
        "A plant grows one centimetre a day. How tall is it after 60 days, day by day?",
        "".join(
            f"On day {n} the plant grows by one more centimetre, as it did on each of the days "
            f"before, and so in the evening it is {n} centimetres tall.\n"
            for n in range(1, 61)
        ),
    )
    yield text(
        "buckets, Spanish",
        "¿Cómo se miden 4 litros con cubos de 3 y 5?",
        "".join(
            f"Paso {n}: lleno el cubo grande, lo vacío en el pequeño hasta que este queda lleno, y "
            f"anoto que en el grande quedan {n % 5} litros.\n"
            for n in range(1, 13)
        ),
    )
    yield text(
        "a switch that goes on and off",
        "A lamp is switched 50 times. Is it on?",
        "It is switched on now. And it is switched off again.\n" * 25,
    )
    yield text(
        "steps of a walk",
        "A robot goes north 20 times and then east. Where is it?",
        "The robot goes one step to the north.\n" * 20,
    )
    yield text(
        "digits of a quotient",
        "What is 1/7 with 60 digits?",
        "".join(
            f"Bring down a zero: {10 * r} divided by 7 is {10 * r // 7}, remainder {10 * r % 7}.\n"
            for r in [1, 3, 2, 6, 4, 5] * 10
        ),
    )
    yield text(
        "letters one by one",
        "How many r are in strawberry?",
        "".join(
            f"{n}. {letter}: {'that is an r, one more' if letter == 'r' else 'not an r'}.\n"
            for n, letter in enumerate("strawberry" * 3, 1)
        ),
    )
    yield text(
        "coin tosses in a table",
        "What is the chance of two heads in a row in four tosses?",
        "".join(
            " ".join("HT"[n >> bit & 1] for bit in range(5)) + " no two heads in a row, or else\n"
            for n in range(32)
        ),
    )
    yield text(
        "the same check for each candidate, Chinese",
        "100以内哪些数是完全平方数?",
        "".join(
            f"检查{n}:它的平方根约为{int(n**0.5)},所以我们需要验证它是否为完全平方数,然后继续检查下一个数。\n"
            for n in range(1, 31)
        ),
    )
    yield text(
        "modular powers",
        "What is 3^40 mod 7?",
        "".join(f"3^{n} = {pow(3, n)}, and that mod 7 is {pow(3, n, 7)}.\n" for n in range(1, 41)),
    )
    yield text(
        "four rounds of doubt",
        "Is it 85?",
        "Hmm, wait. Let me double-check the sum once more, digit by digit, to be on the safe side. "
        "7 plus 8 is 15, write 5, carry 1. 3 plus 4 plus 1 is 8. So it is 85.\n" * 4,
    )
    yield text(
        "seven rounds of doubt, Italian",
        "È giusto?",
        "Aspetta, ricontrolliamo ancora una volta tutti i passaggi, perché non sono del tutto "
        "sicuro che il risultato della divisione sia corretto.\n" * 7,
    )


def _drafts() -> Iterator[LoopText]:
    def text(name: str, prompt: str, content: str) -> LoopText:
        return LoopText("thinking: drafts", name, REASONING, prompt, content)

    yield text(
        "cards",
        "A page with twelve placeholder cards.",
        "I could write it like this:\n"
        + '<div class="card"><h3>Title</h3><p>Some text about it.</p><a href="#">More</a></div>\n'
        * 12,
    )
    yield text(
        "rows of a table, no number named",
        "An empty time sheet, please.",
        "Something like\n" + "| date | from | until | break | project | note |\n" * 24,
    )
    yield text(
        "lines that the prompt holds",
        "Write 'I must not run in the corridor' thirty times.",
        "The lines are:\n" + "I must not run in the corridor\n" * 30,
    )
    yield text(
        "SQL inserts",
        "Ten test users in SQL.",
        "".join(
            f"INSERT INTO users (id, name, email) VALUES ({n}, 'Test', 'test{n}@example.com');\n"
            for n in range(1, 11)
        ),
    )
    yield text(
        "a matrix of zeros",
        "Write a 16x16 zero matrix.",
        "[" + ", ".join(["0"] * 16) + "],\n" + ("[" + ", ".join(["0"] * 16) + "],\n") * 15,
    )
    yield text(
        "a chant, Portuguese",
        "Escreve um grito de torcida.",
        "Talvez assim: " + "Vamos, vamos, meu time, vamos ganhar!\n" * 8,
    )
