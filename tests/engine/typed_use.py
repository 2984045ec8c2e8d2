"""What mypy knows of the API: run by scripts/lint. A wrong use that it lets pass is an error here.

Strict mode reports an ignore that hides nothing, so each of them is an error that is seen.
"""

from typing import Any, assert_type

from pydantic import BaseModel

from mlx_magistral import Magistral
from mlx_magistral.events import Event, ParsedReply, Reply


class Sum(BaseModel):
    sum: int


async def typed(model: Magistral) -> None:
    """Never run."""
    assert_type(model.generate("hello", temperature=0, think_budget=9, seed=None), Reply)
    assert_type(model.generate("hello", schema=Sum), ParsedReply[Sum])
    assert_type(model.generate("hello", schema=Sum).parsed, Sum | None)
    assert_type(model.generate("hello", schema={"type": "object"}), Reply)
    assert_type(model.generate("hello").parsed, Any)
    assert_type(await model.agenerate("hello", schema=Sum, stop=["x"]), ParsedReply[Sum])
    assert_type(model.generate_batch(["hello"], schema=Sum), list[ParsedReply[Sum]])
    assert_type(model.generate_batch(["hello"], progress=True, top_p=1), list[Reply])
    for event in model.stream("hello", on_loop="stop", speculate=4):
        assert_type(event, Event)
    async for event in model.astream(prompt=[1, 2], thinking="auto"):
        assert_type(event, Event)
    assert_type(Magistral.load("nano", kv_bits=8).variants, dict[str, Magistral])

    model.stream("hello", temperature="0.7")  # type: ignore[arg-type]
    model.stream("hello", temprature=1)  # type: ignore[call-arg]
    model.stream("hello", thinking="maybe")  # type: ignore[arg-type]
    model.astream("hello", think_budget="9")  # type: ignore[arg-type]
    model.generate("hello", schema=[1])  # type: ignore[call-overload]
    model.generate("hello", max_tokens="9")  # type: ignore[call-overload]
    model.generate_batch("hello", on_loop="never")  # type: ignore[call-overload]
    Magistral.load(kv_bits="8")  # type: ignore[arg-type]
