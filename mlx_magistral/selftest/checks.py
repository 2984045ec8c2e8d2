"""All checks in order, each with a time that a slow machine has: two minutes in all.

Whoever calls hands in how nano is converted and read back: the converter stands on other floors.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import mlx.core as mx

from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.errors import MagistralError
from mlx_magistral.hub.resolve import nano_folder, resolve_model
from mlx_magistral.hub.tokenizer_source import find_tokenizer
from mlx_magistral.selftest.line import Line, State, judged
from mlx_magistral.selftest.logits import KV_BITS, WEIGHT_BITS, logits_lines
from mlx_magistral.selftest.peak import peak_lines
from mlx_magistral.selftest.prefixes import prefixes_lines
from mlx_magistral.selftest.speculation import speculation_line
from mlx_magistral.selftest.speed import speed_line
from mlx_magistral.selftest.tokens import tokens_line

# Converts nano to so many bits into a folder and reads it back; says what differs, and the largest
# relative error of a tensor.
RoundTrip = Callable[[Path, int], tuple[Sequence[str], float]]

CONVERTED_BITS = (8, 4)
# A code is at most half a step away: relative to a tensor's own size, at 8 and at 4 bits.
MOST_ERROR = {8: 0.012, 4: 0.2}
# Of a real model, which is slow where it is large.
_MODEL_TOKENS = 16


@dataclass(frozen=True)
class Check:
    """``name`` is told before ``run``, which may take some seconds."""

    name: str
    run: Callable[[], list[Line]]


def checks(model: str | None, round_trip: RoundTrip) -> Iterator[Check]:
    """nano's, then those of ``model``, by name or folder, if one is named."""
    question = "What is 37 + 48?"
    nano = Magistral.load("nano")
    sum_ids = nano.tokenizer.encode_chat(question, raw_system=True)
    sum_ids += nano.tokenizer.encode("The sum is $\\boxed{85}$.")
    for bits in WEIGHT_BITS:
        yield Check(f"logits at {bits} bits", partial(logits_lines, sum_ids, bits))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        yield Check("prefixes", partial(prefixes_lines, nano, scratch, KV_BITS))
        yield Check("speculation", lambda: [speculation_line(nano)])
        yield Check("ids", lambda: [tokens_line(nano.tokenizer, nano_folder() / "tekken.json")])
        yield Check("peak memory", peak_lines)
        yield Check("decode rate", lambda: [speed_line(nano)])
        for bits in CONVERTED_BITS:
            target = scratch / f"nano-{bits}"
            yield Check(f"conversion to {bits} bits", partial(_converted, round_trip, target, bits))
        if mx.default_device() != mx.gpu:
            yield Check("what a GPU adds", gpu_lines)
        if model is not None:
            yield from _model_checks(model, scratch)


def run_check(check: Check) -> list[Line]:
    """Its lines; what it raises is a line that differs."""
    try:
        return check.run()
    except (MagistralError, RuntimeError, MemoryError, OSError) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        return [Line(check.name, State.DIFFERS, said[0])]


def gpu_lines() -> list[Line]:
    """What the same command says on a Mac, and cannot say here."""
    missing = {
        f"logits on the GPU against the CPU, {bits}-bit weights": "16-, 8- and 4-bit KV"
        for bits in WEIGHT_BITS
    }
    missing["peak memory on Metal"] = "derived from its kernels, not measured"
    missing["decode rate"] = "against the chip's published bandwidth"
    return [Line(name, State.GPU, figure) for name, figure in missing.items()]


def _converted(round_trip: RoundTrip, target: Path, bits: int) -> list[Line]:
    findings, error = round_trip(target, bits)
    figure = f"largest error of a tensor {error:.4f} (at most {MOST_ERROR[bits]})"
    if findings:
        figure = f"{findings[0]}; {len(findings)} findings in all"
    is_ok = not findings and error <= MOST_ERROR[bits]
    return [judged(f"conversion to {bits} bits, read back", is_ok, figure)]


def _model_checks(name: str, scratch: Path) -> Iterator[Check]:
    folder = resolve_model(name)
    loaded, shown = Magistral.load(name), Path(name).name

    def of_model(check: str, run: Callable[[], list[Line]]) -> Check:
        """Its lines say whose they are."""
        return Check(
            f"{check} of {shown}",
            lambda: [replace(line, name=f"{line.name}, {shown}") for line in run()],
        )

    tekken = find_tokenizer(folder)
    yield of_model("ids", lambda: [tokens_line(loaded.tokenizer, tekken)])
    yield of_model("prefixes", lambda: prefixes_lines(loaded, scratch / "model", (16,)))
    yield of_model("speculation", lambda: [speculation_line(loaded, _MODEL_TOKENS)])
    yield of_model("decode rate", lambda: [speed_line(loaded)])
