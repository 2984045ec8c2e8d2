"""A reused prefix is the computed one bit for bit: keys, values, logits.

The reference is the same prompt with nothing known of it, on the same device.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.decode.generate import prefill
from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.memory.prefixes.cache import PrefixCache
from mlx_magistral.memory.prefixes.disk import PrefixDisk
from mlx_magistral.memory.prefixes.passes import prompt_marks
from mlx_magistral.memory.runtime import ModelMemory
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.selftest.line import Line, judged

# The prompt is longer than what the disk leaves out.
_QUESTION = "What is 37 + 48? " + "Think well. " * 40
CONVERSATION: list[dict[str, Any]] = [
    {"role": "user", "content": _QUESTION},
    {"role": "assistant", "content": "The sum is 85."},
    {"role": "user", "content": "now add 5"},
]
_SECOND_TURN = len(CONVERSATION)
_REPLY = "The sum"
_RAM_BYTES = 1 << 32


@dataclass(frozen=True)
class Computed:
    """How many ids were known before, and the bits of the logits and of all that is kept."""

    known: int
    logits: bytes
    kept: list[bytes]
    is_finite: bool

    def is_same(self, other: "Computed") -> bool:
        """Whether every bit is, and each logit a number, whatever was known."""
        is_equal = self.logits == other.logits and self.kept == other.kept
        return is_equal and self.is_finite


def compute(
    memory: ModelMemory, model: Transformer, prompt: Sequence[int], reply: Sequence[int]
) -> Computed:
    """Read a prompt as a reply does, then the ids of a reply one by one, and keep what is kept."""
    cache = memory.new_cache(model)
    known = memory.restore(prompt, cache)
    ends = [end - known for end in memory.ends(prompt) if end > known]
    logits = prefill(model, list(prompt[known:]), cache, ends=ends)
    assert logits is not None
    memory.keep_prompt(prompt, cache, known)
    for token in reply:
        logits = mx.concatenate([logits, model(mx.array([[token]]), cache)[:, -1]])
    said = [*prompt, *reply]
    memory.keep(said, cache)
    memory.write_prompts(tokens=said, cache=cache)
    kept = [bits_of(array) for layer in cache for array in layer.export(layer.offset)]
    return Computed(known, bits_of(logits), kept, bool(mx.all(mx.isfinite(logits)).item()))


def bits_of(array: mx.array) -> bytes:
    """An array's own bytes."""
    return bytes(memoryview(mx.contiguous(array).view(mx.uint8)))  # type: ignore[arg-type]


def prefixes_lines(loaded: Magistral, scratch: Path, kv_bits: Sequence[int]) -> list[Line]:
    """Two turns from nothing, from RAM, and from disk as a process that begins finds them."""
    tokenizer = loaded.tokenizer
    prompts = [
        tokenizer.encode_chat(CONVERSATION[:count], raw_system=True) for count in (1, _SECOND_TURN)
    ]
    reply = tokenizer.encode(_REPLY)
    lines = []
    for bits in kv_bits:
        plan = replace(loaded.memory.plan, kv_bits=bits)

        def memory(prefixes: PrefixCache | None, plan: Any = plan) -> ModelMemory:
            return ModelMemory(plan, prefixes, marks=prompt_marks(tokenizer))

        disk = PrefixDisk(scratch / f"prefixes-{bits}")
        in_ram = memory(PrefixCache("selftest", _RAM_BYTES, disk))
        compute(in_ram, loaded.model, prompts[0], reply)
        restarted = memory(PrefixCache("selftest", 0, PrefixDisk(disk.folder)))
        cold = compute(memory(None), loaded.model, prompts[1], reply)
        found = {
            "disk": compute(restarted, loaded.model, prompts[1], reply),
            "RAM": compute(in_ram, loaded.model, prompts[1], reply),
        }
        is_ok = all(each.known and each.is_same(cold) for each in found.values())
        figure = ", ".join(
            f"{each.known} of {len(prompts[1])} ids from {place}: "
            + ("equal" if each.is_same(cold) else "other bits")
            for place, each in found.items()
        )
        lines.append(judged(f"reused prefixes bit for bit, {bits}-bit KV", is_ok, figure))
    return lines
