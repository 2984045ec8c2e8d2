"""Honest answers that are code or markup, whose parts are alike."""

import random
from collections.abc import Iterator

from loop_texts.labelled import CONTENT, LoopText, word


def code() -> list[LoopText]:
    """Programs, and pages of placeholders."""
    return [*_programs(), *_markup()]


def _programs() -> Iterator[LoopText]:
    rng = random.Random(9)

    def text(name: str, prompt: str, content: str) -> LoopText:
        return LoopText("code", name, CONTENT, prompt, content)

    yield text(
        "Python factory",
        "Write the factory.",
        "".join(
            f'    if name == "{service}":\n        return make_{service}(options)\n'
            for service in (word(rng) + word(rng) for _ in range(80))
        ),
    )
    yield text(
        "JavaScript listeners",
        "Wire up the buttons.",
        "".join(
            f"document.querySelector('#tab-{n}').addEventListener('click', (event) => {{\n"
            f"  event.preventDefault();\n  showPanel({n});\n}});\n"
            for n in range(1, 25)
        ),
    )
    yield text(
        "C, an unrolled loop",
        "Unroll the copy loop 64 times.",
        "".join(f"    dst[{n}] = src[{n}];\n" for n in range(64)),
    )
    yield text(
        "C, unrolled without an index",
        "Unroll the copy loop sixty-four times, with pointers.",
        "    *dst++ = *src++;\n" * 64,
    )
    yield text(
        "assembler, a slide of nops",
        "A delay of 200 cycles in AVR assembler?",
        "delay:\n" + "    nop\n" * 200 + "    ret\n",
    )
    yield text(
        "Java getters",
        "Generate the bean.",
        "".join(
            f"    public String getField{n}() {{\n        return this.field{n};\n    }}\n\n"
            f"    public void setField{n}(String value) {{\n        this.field{n} = value;\n"
            "    }\n\n"
            for n in range(1, 16)
        ),
    )
    yield text(
        "Go, errors handled by the book",
        "Write the migration.",
        "".join(
            f'    if err := tx.Exec(step{n}); err != nil {{\n        return fmt.Errorf("migrate: '
            '%w", err)\n    }\n'
            for n in range(1, 31)
        ),
    )
    yield text(
        "Go, the same guard before each call",
        "Write the test with ten writes.",
        "    if _, err := file.Write(buffer); err != nil {\n        t.Fatal(err)\n    }\n" * 10,
    )
    yield text(
        "Rust tests that are alike",
        "Write tests for the parser.",
        "".join(
            f"    #[test]\n    fn parses_sample_{n}() {{\n        let input = "
            f'include_str!("samples/{n}.txt");\n        assert!(parse(input).is_ok());\n    }}\n\n'
            for n in range(1, 21)
        ),
    )
    yield text(
        "shell, one command a host",
        "Restart the workers.",
        "".join(
            f"ssh worker{n:02}.example.com 'sudo systemctl restart app && sleep 5'\n"
            for n in range(1, 41)
        ),
    )
    yield text(
        "LaTeX, lines to write on",
        "A worksheet with 30 blank answer lines in LaTeX, please.",
        "\\noindent\\makebox[\\linewidth]{\\rule{\\textwidth}{0.4pt}}\\\\[12pt]\n" * 30,
    )
    yield text(
        "a level as tiles",
        "Draw a 40x20 level of a platform game, walls around it.",
        "#" * 40 + "\n" + ("#" + "." * 38 + "#\n") * 18 + "#" * 40 + "\n",
    )
    yield text(
        "booleans of a grid",
        "Start value for a game of life of 16 x 16?",
        "grid = [\n" + ("    [" + ", ".join(["False"] * 16) + "],\n") * 16 + "]\n",
    )
    yield text(
        "drum pattern",
        "Sixteen bars of drums in text.",
        ("HH x-x-x-x-x-x-x-x-\nSD ----x-------x---\nBD x-------x-------\n\n") * 16,
    )


def _markup() -> Iterator[LoopText]:
    def text(name: str, prompt: str, content: str) -> LoopText:
        return LoopText("markup", name, CONTENT, prompt, content)

    card = (
        '    <article class="card">\n      <img src="https://example.com/400x300" alt="">\n'
        "      <h2>Title of the article</h2>\n      <p>Lorem ipsum dolor sit amet, consectetur "
        'adipiscing elit.</p>\n      <a href="#" class="button">Read more</a>\n    </article>\n'
    )
    yield text(
        "HTML cards", "A page with nine placeholder articles.", f"<main>\n{card * 9}</main>\n"
    )
    yield text(
        "HTML cards, more of them",
        "A page with two dozen placeholder articles, to test the grid.",
        f"<main>\n{card * 24}</main>\n",
    )
    row = (
        "    <tr>\n      <td>Beispiel</td>\n      <td>Wert</td>\n      <td>Beschreibung</td>\n"
        "      <td>\n        <button>Ändern</button>\n        <button>Löschen</button>\n"
        "      </td>\n    </tr>\n"
    )
    yield text(
        "HTML rows, German",
        "Eine HTML-Tabelle mit Beispielzeilen.",
        f"<table>\n  <tbody>\n{row * 12}  </tbody>\n</table>\n",
    )
    yield text(
        "HTML menu",
        "A menu with placeholder links.",
        "<ul>\n" + '  <li><a href="#">Menu item</a></li>\n' * 20 + "</ul>\n",
    )
    yield text(
        "HTML form, numbered",
        "A form with 20 text fields.",
        "".join(
            f'  <label for="field{n}">Field {n}</label>\n'
            f'  <input type="text" id="field{n}" name="field{n}" required>\n'
            for n in range(1, 21)
        ),
    )
    yield text(
        "SVG dots",
        "A row of dots in SVG.",
        "".join(
            f'  <circle cx="{20 * n}" cy="50" r="8" fill="black" stroke="none" />\n'
            for n in range(1, 41)
        ),
    )
    yield text(
        "CSS delays",
        "Let the letters fall in one after the other.",
        "".join(
            f".letter:nth-child({n}) {{\n  animation-delay: {n * 50}ms;\n}}\n" for n in range(1, 27)
        ),
    )
    yield text(
        "XML of equal beans, Polish",
        "Napisz przykładowy plik XML z trzydziestoma jednakowymi produktami.",
        "<produkty>\n" + "  <produkt>\n    <nazwa>Nazwa produktu</nazwa>\n    <cena>0.00</cena>\n"
        "    <opis>Krótki opis produktu</opis>\n  </produkt>\n" * 30 + "</produkty>\n",
    )
    yield text(
        "Vue components",
        "A skeleton loader with 12 rows.",
        '  <div class="skeleton-row">\n    <span class="skeleton-avatar"></span>\n'
        '    <span class="skeleton-line skeleton-line--long"></span>\n'
        '    <span class="skeleton-line skeleton-line--short"></span>\n  </div>\n' * 12,
    )
    yield text(
        "check boxes in Markdown",
        "A packing list to fill in.",
        "- [ ] \n" * 60,
    )
