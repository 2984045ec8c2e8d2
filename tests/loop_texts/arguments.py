"""Honest arguments of tool calls: cut, they would be broken JSON."""

import json
from collections.abc import Iterator

from loop_texts.labelled import ARGUMENTS, LoopText


def arguments() -> Iterator[LoopText]:
    """Files to write, rows to insert, cells to fill."""

    def text(name: str, prompt: str, value: object, indent: int | None = None) -> LoopText:
        written = json.dumps(value, ensure_ascii=False, indent=indent)
        return LoopText("tool arguments", name, ARGUMENTS, prompt, written)

    yield text(
        "a seed file",
        "Seed the database with 25 customers.",
        {
            "path": "db/seed.sql",
            "content": "".join(
                "INSERT INTO customers (id, name, city, is_active) VALUES "
                f"({n}, 'Customer', 'Springfield', TRUE);\n"
                for n in range(1, 26)
            ),
        },
    )
    yield text(
        "equal rows",
        "Insert 40 empty tickets.",
        {"rows": [{"title": "", "status": "open", "assignee": None, "tags": []}] * 40},
    )
    yield text(
        "equal rows, one a line",
        "Insert 40 empty tickets.",
        {"rows": [{"title": "", "status": "open", "assignee": None, "tags": []}] * 40},
        indent=2,
    )
    yield text(
        "cells of a sheet",
        "Clear the sheet from A1 to H64.",
        {"values": [["", "", "", "", "", "", "", ""]] * 64},
    )
    yield text(
        "cells that all say the same, French",
        "Mets « à faire » dans les trente cases de la colonne.",
        {"valeurs": ["à faire"] * 30},
    )
    yield text(
        "a page of placeholders",
        "Create index.html with ten empty sections.",
        {
            "file_path": "index.html",
            "content": "<body>\n"
            + '  <section class="part">\n    <h2>Heading</h2>\n    <p>Text goes here.</p>\n'
            "  </section>\n" * 10 + "</body>\n",
        },
    )
    yield text(
        "clicks of a robot",
        "Press the button 50 times.",
        {"actions": [{"type": "click", "target": "#next", "delay_ms": 100}] * 50},
    )
    yield text(
        "a fixture, Japanese",
        "テスト用のユーザーを30件作ってください。",
        {"users": [{"名前": "テスト太郎", "年齢": 20, "住所": "東京都千代田区"}] * 30},
    )
    yield text(
        "a notebook of equal cells",
        "Make a notebook with twenty empty cells.",
        {"cells": [{"cell_type": "code", "metadata": {}, "outputs": [], "source": []}] * 20},
    )
