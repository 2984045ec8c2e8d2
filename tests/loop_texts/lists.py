"""Honest answers that are lists: data, tables, songs, lines, in prose and in markup."""

import random
from collections.abc import Iterator

from loop_texts.labelled import CONTENT, LoopText, prose

_SERVICES = ["api", "worker", "cache", "mailer"]


def lists() -> list[LoopText]:
    """Rows of data, verses, and repetition that the prompt asks for."""
    return [*_data(), *_songs(), *_asked_for()]


def _data() -> Iterator[LoopText]:
    rng = random.Random(7)

    def text(name: str, prompt: str, content: str) -> LoopText:
        return LoopText("data", name, CONTENT, prompt, content)

    yield text(
        "access log",
        "Write a sample log.",
        "".join(
            f"2024-05-01T12:{n // 60:02}:{n % 60:02}Z INFO {rng.choice(_SERVICES)}-"
            f"{rng.randint(1, 4)} GET /v1/users/{rng.randint(1, 999)} 200 in "
            f"{rng.randint(2, 90)} ms\n"
            for n in range(300)
        ),
    )
    yield text(
        "heartbeat log",
        "Write a sample log.",
        "".join(
            f"[2024-05-01 12:{n // 60:02}:{n % 60:02}] INFO heartbeat received from node 3, all "
            "systems nominal, queue empty\n"
            for n in range(300)
        ),
    )
    yield text(
        "multiplication tables",
        "Tables to 20?",
        "".join(f"{a} x {b} = {a * b}\n" for a in range(1, 21) for b in range(1, 21)),
    )
    yield text(
        "Markdown table of sums",
        "Make a table of sums.",
        "| a | b | a+b |\n|---|---|---|\n"
        + "".join(f"| {a} | {b} | {a + b} |\n" for a in range(20) for b in range(15)),
    )
    yield text(
        "Markdown table to fill in, German",
        "Erstelle eine leere Tabelle mit 40 Zeilen für unser Protokoll.",
        "| Datum | Name | Aufgabe | Erledigt |\n|---|---|---|---|\n"
        + "| TT.MM.JJJJ | Vorname Nachname | Beschreibung der Aufgabe | ja / nein |\n" * 40,
    )
    yield text(
        "CSV",
        "Make test data as CSV.",
        "id,name,amount,paid\n"
        + "".join(
            f"{n},{rng.choice(_SERVICES)},{rng.random():.2f},{rng.choice(['yes', 'no'])}\n"
            for n in range(400)
        ),
    )
    yield text(
        "labels in random order",
        "Make a training file for a classifier.",
        "text,label\n"
        + "".join(
            f"The service was very good and I will come again,{label}\n"
            if label == "positive"
            else f"The service was very bad and I will not come again,{label}\n"
            for label in rng.choices(["positive", "negative"], k=120)
        ),
    )
    yield text(
        "JSON records",
        "Make test data as JSON.",
        "["
        + ", ".join(
            f'{{"id": {n}, "name": "{rng.choice(_SERVICES)}", "active": true}}' for n in range(150)
        )
        + "]",
    )
    yield text(
        "JSON placeholders, pretty",
        "Give me sample JSON with fifteen users.",
        "[\n"
        + ",\n".join(
            '  {\n    "name": "Jane Doe",\n    "email": "jane@example.com",\n    "address": {\n'
            '      "street": "Main Street 1",\n      "city": "Springfield"\n    },\n'
            '    "roles": ["reader", "writer"]\n  }'
            for _ in range(15)
        )
        + "\n]\n",
    )
    yield text(
        "YAML of equal replicas, French",
        "Écris un inventaire Ansible de test avec une vingtaine de machines.",
        "all:\n  hosts:\n"
        + "".join(
            f"    machine{n:02}:\n      ansible_user: deploy\n      ansible_port: 22\n"
            "      role: serveur_web\n      actif: true\n"
            for n in range(1, 23)
        ),
    )
    yield text(
        "SQL inserts, Spanish",
        "Escribe treinta INSERT para la tabla de clientes.",
        "".join(
            "INSERT INTO clientes (id, nombre, correo, activo) VALUES "
            f"({n}, 'Cliente de prueba', 'cliente{n}@ejemplo.es', TRUE);\n"
            for n in range(1, 31)
        ),
    )
    yield text(
        "SQL inserts without ids",
        "Fill the table with 60 equal rows for a load test.",
        "INSERT INTO events (kind, payload, created_at) VALUES ('ping', '{}', NOW());\n" * 60,
    )
    yield text("matrix of zeros", "A 12x12 zero matrix in Python?", _matrix(12))
    yield text("larger matrix of zeros", "A 32 by 32 zero matrix, written out?", _matrix(32))
    yield text("dump of zeros", "Show an empty sector.", _dump(512))
    yield text("counting", "Count to 500.", ", ".join(map(str, range(1, 501))))
    yield text("a rule of dashes", "Draw a separator.", "-" * 400 + "\n" + "= " * 100)
    yield text(
        "readings of a sensor at rest, Russian",
        "Напиши пример показаний датчика за час.",
        "".join(
            f"12:{n:02} — температура в норме, давление в норме, движение не обнаружено\n"
            for n in range(60)
        ),
    )


def _matrix(size: int) -> str:
    return "[" + ",\n ".join("[" + ", ".join(["0"] * size) + "]" for _ in range(size)) + "]"


def _dump(count: int) -> str:
    return "".join(f"{at:08x}  {'00 ' * 16} |{'.' * 16}|\n" for at in range(0, count, 16))


def _songs() -> Iterator[LoopText]:
    rng = random.Random(8)

    def text(name: str, prompt: str, content: str) -> LoopText:
        return LoopText("songs", name, CONTENT, prompt, content)

    refrain = "And the river runs on,\nand the river runs on,\nunder bridges of stone,\n" * 2
    yield text(
        "poem with refrains",
        "Write a long poem.",
        "".join(prose(rng, 30).replace(" the ", ",\nthe ") + refrain for _ in range(12)),
    )
    yield text(
        "99 bottles",
        "Sing 99 bottles of beer.",
        "".join(
            f"{n} bottles of beer on the wall, {n} bottles of beer. Take one down and pass it "
            f"around, {n - 1} bottles of beer on the wall.\n"
            for n in range(99, 1, -1)
        ),
    )
    yield text(
        "a chorus at the end, over and over",
        "Write a stadium song.",
        "We are the light that never goes out, we are the fire that burns in the night,\n"
        "oh, oh, oh, sing it with me, oh, oh, oh, sing it with me\n" * 8,
    )
    yield text(
        "the drunken sailor",
        "Write out What shall we do with the drunken sailor.",
        "".join(
            f"{line},\n" * 3
            + "early in the morning!\n\n"
            + "Way hay and up she rises,\n" * 3
            + "early in the morning!\n\n"
            for line in (
                "What shall we do with the drunken sailor",
                "Put him in the long boat till he is sober",
                "Shave his belly with a rusty razor",
                "That is what we do with the drunken sailor",
            )
        ),
    )
    yield text(
        "Frère Jacques in a round, French",
        "Écris les paroles pour quatre voix.",
        (
            "Frère Jacques, Frère Jacques,\nDormez-vous ? Dormez-vous ?\nSonnez les matines !\n"
            "Ding, ding, dong. Ding, ding, dong.\n\n"
        )
        * 6,
    )
    yield text(
        "a mantra, Japanese",
        "お経の例を書いてください。",
        "南無妙法蓮華経、南無妙法蓮華経、南無妙法蓮華経。\n" * 12,
    )
    yield text(
        "a litany, Portuguese",
        "Escreve uma ladainha.",
        "".join(
            f"{name}, rogai por nós, agora e na hora da nossa morte.\n"
            for name in (
                "Santa Maria",
                "São José",
                "São Pedro",
                "São Paulo",
                "Santo António",
                "Santa Rita",
                "São Francisco",
                "Santa Clara",
                "São Bento",
                "Santa Luzia",
                "São João",
                "São Tiago",
            )
        ),
    )


def _asked_for() -> Iterator[LoopText]:
    def text(name: str, prompt: str, content: str) -> LoopText:
        return LoopText("asked for", name, CONTENT, prompt, content)

    line = "I will not talk in class.\n"
    yield text("A 200 times", "Write A 200 times.", "A " * 200)
    yield text("AB 300 times", "Write 'AB' 300 times without a break", "AB" * 300)
    yield text("lines", f'Write "{line.strip()}" a hundred times.', line * 100)
    yield text("a thousand lines", f"Write {line.strip()!r} 1,000 times.", line * 1000)
    yield text(
        "numbered lines",
        'Write "I will not talk in class" 100 times, numbered.',
        "".join(f"{n}. {line}" for n in range(1, 101)),
    )
    yield text(
        "lines of one's own, English words",
        "Give me two hundred identical lines of filler text.",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor.\n" * 200,
    )
    yield text(
        "lines of one's own, German words",
        "Schreib mir fünfundsiebzig gleiche Zeilen Blindtext.",
        "Franz jagt im komplett verwahrlosten Taxi quer durch Bayern und zurück nach Hause.\n" * 75,
    )
    yield text(
        "lines of one's own, Chinese",
        "请写80行相同的占位文字。",  # noqa: RUF001
        "这是一行用于测试排版效果的占位文字，没有任何实际意义，请忽略它。\n" * 80,  # noqa: RUF001
    )
    yield text(
        "a sentence of the prompt, Chinese",
        "把“好好学习，天天向上”写很多很多遍。",  # noqa: RUF001
        "好好学习，天天向上。" * 150,  # noqa: RUF001
    )
    yield text(
        "a sentence of the prompt, Spanish",
        "Repite sin parar: «No debo copiar en los exámenes de matemáticas».",
        "No debo copiar en los exámenes de matemáticas.\n" * 120,
    )
    yield text(
        "tickets to cut out, Italian",
        "Prepara 48 biglietti uguali per la lotteria da ritagliare.",
        "┌────────────────────┐\n│ LOTTERIA DI NATALE │\n│ premio a sorpresa  │\n"
        "└────────────────────┘\n" * 48,
    )
