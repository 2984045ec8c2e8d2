#!/usr/bin/env python
"""Answers under generated JSON schemas, from random weights and from nano: all have to validate.

Two validators judge each answer, formats included. A quarter of the replies think first. Exits 1
where an answer does not parse or validate, those included that --max-tokens ended.

    scripts/checks/fuzz_schemas.py [--count 300] [--first 0] [--max-tokens 600] [--temperature 3]
                                   [--json]
"""

# mypy: allow-untyped-calls

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import mlx.core as mx
from mlx.utils import tree_flatten

sys.path[:0] = [str(Path(__file__).parents[2] / part) for part in ("", "tests")]

from schemas import random_schema, with_definitions  # noqa: E402

from mlx_magistral import Magistral  # noqa: E402
from mlx_magistral.events import FinishReason  # noqa: E402
from mlx_magistral.hub.resolve import nano_folder  # noqa: E402
from mlx_magistral.model.config import ModelConfig  # noqa: E402
from mlx_magistral.model.transformer import Transformer  # noqa: E402


@dataclass
class Tally:
    """What became of the answers to a run of schemas."""

    count: int = 0
    valid: int = 0
    wound_down: int = 0  # of the valid ones, those that max_tokens ended
    thought: int = 0
    answer_tokens: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not self.wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="schemas for each model")
    parser.add_argument("--first", type=int, default=0, help="number of the first schema")
    parser.add_argument("--max-tokens", type=int, default=600)
    parser.add_argument("--temperature", type=float, default=3.0)
    parser.add_argument("--json", action="store_true", help="print one object instead of lines")
    options = parser.parse_args()
    numbers = range(options.first, options.first + options.count)
    tallies = {}
    with tempfile.TemporaryDirectory() as scratch:
        models = {"random weights": random_model(Path(scratch)), "nano": Magistral.load("nano")}
        for name, model in models.items():
            tally = tallies[name] = fuzz(
                model,
                numbers,
                max_tokens=options.max_tokens,
                temperature=options.temperature,
            )
            if not options.json:
                print(_line(name, tally), *tally.wrong, sep="\n  ", flush=True)
    if options.json:
        print(json.dumps({name: asdict(tally) for name, tally in tallies.items()}))
    return 0 if all(tally.is_good for tally in tallies.values()) else 1


def fuzz(
    model: Magistral, numbers: range, *, max_tokens: int = 600, temperature: float = 3.0
) -> Tally:
    """Answer the schema of each number, which is also the seed of its reply."""
    tally = Tally()
    started = time.perf_counter()
    for number in numbers:
        schema = numbered_schema(number)
        thinking: dict[str, Any] = {"thinking": "skip"}
        if number % 4 == 0:
            thinking = {"thinking": "force", "think_budget": 16}
        reply = model.generate(
            "x",
            schema=schema,
            raw_system=True,
            seed=number,
            temperature=temperature,
            top_p=1.0,
            max_tokens=max_tokens,
            on_loop="off",
            **thinking,
        )
        tally.count += 1
        tally.thought += reply.reasoning is not None
        tally.answer_tokens += reply.usage.answer_tokens
        problem = judge(reply.content or "", schema)
        if problem is None:
            tally.valid += 1
            tally.wound_down += reply.finish_reason is FinishReason.LENGTH
        else:
            tally.wrong.append(f"{number}: {problem}; {reply.content!r} under {json.dumps(schema)}")
    tally.seconds = time.perf_counter() - started
    return tally


def numbered_schema(number: int) -> dict[str, Any]:
    """The same schema for the same number, nested up to three levels."""
    schema: dict[str, Any] = with_definitions(
        random_schema(random.Random(number), depth=1 + number % 3)
    )
    return schema


def judge(text: str, schema: dict[str, Any]) -> str | None:
    """Why the text is no answer under the schema; None where it is one."""
    try:
        value = json.loads(text)
        jsonschema.Draft202012Validator(schema).validate(value)
        jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(value)
    except (ValueError, jsonschema.ValidationError) as error:
        # jsonschema_rs.ValidationError is a ValueError.
        return str(error).partition("\n")[0]
    return None


def random_model(folder: Path) -> Magistral:
    """One small layer of random weights under nano's tokenizer: about a millisecond an id."""
    config = ModelConfig.from_params(
        json.loads((nano_folder() / "params.json").read_text()), "params.json"
    )
    config = replace(
        config,
        dim=32,
        n_layers=1,
        n_heads=1,
        n_kv_heads=1,
        head_dim=32,
        hidden_dim=32,
        max_position_embeddings=4096,
    )
    mx.random.seed(1)
    weights = dict(tree_flatten(Transformer(config).parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    (folder / "config.json").write_text(json.dumps(config.to_hf()))
    shutil.copy(nano_folder() / "tekken.json", folder)
    return Magistral.load(folder)


def _line(name: str, tally: Tally) -> str:
    return (
        f"{name}: {tally.count} schemas, {tally.valid} valid, {len(tally.wrong)} wrong, "
        f"{tally.wound_down} of the valid ended by max_tokens, {tally.thought} thought first, "
        f"{tally.answer_tokens:,} ids of answers in {tally.seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
