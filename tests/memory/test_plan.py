"""The arithmetic of the published model, and what a plan gives up first."""

from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import pytest
from model.builders import SMALL, write_hf

from mlx_magistral.errors import MemoryPlanError
from mlx_magistral.memory.known import MAGISTRAL_SMALL
from mlx_magistral.memory.machine import GIB, Backend, Machine, simulated_mac, this_machine
from mlx_magistral.memory.plan import (
    MemoryPlan,
    longest_context,
    lowered_note,
    make_plan,
    require_fit,
)
from mlx_magistral.memory.recommend import choices, recommend
from mlx_magistral.memory.sizes import kv_bytes, pass_bytes, token_kv_bytes, weight_bytes
from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.checkpoint import open_checkpoint

MAC_32 = simulated_mac(32 * GIB)
CONTEXT = 40960


def plan(limit: int, **fixed: int) -> MemoryPlan:
    weights = weight_bytes(MAGISTRAL_SMALL, 4)
    machine = Machine("test", Backend.METAL, limit)
    return make_plan(MAGISTRAL_SMALL, weights, machine, CONTEXT, **fixed)


@pytest.mark.parametrize(("bits", "expected"), [(4, 13.26), (6, 19.15), (8, 25.05), (16, 47.14)])
def test_weights_of_the_published_model(bits: int, expected: float) -> None:
    assert round(weight_bytes(MAGISTRAL_SMALL, bits) / 1e9, 2) == expected


@pytest.mark.parametrize(("bits", "expected"), [(16, 6.71), (8, 3.57), (4, 1.89)])
def test_kv_cache_of_the_recommended_context(bits: int, expected: float) -> None:
    assert round(kv_bytes(MAGISTRAL_SMALL, CONTEXT, bits) / 1e9, 2) == expected
    assert token_kv_bytes(MAGISTRAL_SMALL, 16) == 163_840


def test_weight_arithmetic_is_what_a_folder_holds(tmp_path: Path) -> None:
    weights = {
        name: mx.zeros(array.shape, mx.bfloat16)
        for name, array in open_small(tmp_path / "f32").items()
    }
    folder = write_hf(tmp_path / "bf16", SMALL, weights)
    assert open_checkpoint(folder).nbytes == weight_bytes(SMALL, 16)


def open_small(folder: Path) -> dict[str, mx.array]:
    return dict(open_checkpoint(write_hf(folder, SMALL)).read_all())


@pytest.mark.parametrize("bits", [16, 8, 4])
@pytest.mark.parametrize("tokens", [1, 256, 300])
def test_kv_arithmetic_is_what_a_cache_allocates(bits: int, tokens: int) -> None:
    cache = make_cache(SMALL, bits)
    part = mx.zeros((1, SMALL.n_kv_heads, tokens, SMALL.head_dim), mx.bfloat16)
    for layer in cache:
        layer.update_and_fetch(part, part)
    assert sum(layer.nbytes for layer in cache) == kv_bytes(SMALL, tokens, bits)


@pytest.mark.parametrize(("memory", "gib"), [(16, 10.67), (32, 21.33), (64, 48), (128, 96)])
def test_simulated_macs(memory: int, gib: float) -> None:
    assert simulated_mac(memory * GIB).limit_bytes / GIB == pytest.approx(gib, abs=0.01)


def test_this_machine_has_a_limit_below_its_memory() -> None:
    assert 100_000_000 < this_machine().limit_bytes


@pytest.mark.parametrize(
    ("info", "limit"),
    [
        ({"max_recommended_working_set_size": 21 * GIB, "memory_size": 32 * GIB}, 21 * GIB),
        ({"total_memory": 80 * GIB, "free_memory": 79 * GIB}, 60 * GIB),  # CUDA
    ],
)
def test_a_gpu_s_limit_is_what_it_recommends_or_a_share_of_its_memory(
    monkeypatch: pytest.MonkeyPatch, info: dict[str, int], limit: int
) -> None:
    monkeypatch.setattr(mx, "default_device", lambda: mx.gpu)
    monkeypatch.setattr(mx, "device_info", lambda: {"device_name": "a GPU", **info})
    found = this_machine()
    assert (found.name, found.backend, found.limit_bytes) == ("a GPU", Backend.METAL, limit)


def test_a_32_gb_mac_holds_4_bits_whole_6_in_part_and_8_not() -> None:
    assert make_plan(MAGISTRAL_SMALL, weight_bytes(MAGISTRAL_SMALL, 4), MAC_32, CONTEXT).fits
    six = weight_bytes(MAGISTRAL_SMALL, 6)
    assert not make_plan(MAGISTRAL_SMALL, six, MAC_32, CONTEXT).fits
    assert 10_000 < longest_context(MAGISTRAL_SMALL, six, MAC_32, 16, CONTEXT) < 20_000
    eight = weight_bytes(MAGISTRAL_SMALL, 8)
    assert make_plan(MAGISTRAL_SMALL, eight, MAC_32, 256).weights_alone_exceed


def test_chunk_gives_way_first_then_kv_bits_and_never_to_4() -> None:
    seen = []
    for limit in range(24_000_000_000, 16_000_000_000, -50_000_000):
        chosen = plan(limit)
        if chosen.fits and (chosen.kv_bits, chosen.chunk_tokens) not in seen:
            seen.append((chosen.kv_bits, chosen.chunk_tokens))
    assert seen == [(bits, chunk) for bits in (16, 8) for chunk in (2048, 1024, 512, 256)]
    assert plan(16_000_000_000).kv_bits == 8


def test_heads_that_cannot_be_quantized_are_planned_with_16_bits() -> None:
    """A checkpoint of any head_dim loads without a flag, and a small machine is told so plainly."""
    odd = replace(MAGISTRAL_SMALL, head_dim=80)
    weights = weight_bytes(odd, 4)
    for limit in (20 * GIB, 10 * GIB):
        machine = Machine("test", Backend.METAL, limit)
        made = make_plan(odd, weights, machine, CONTEXT)
        assert (made.kv_bits, made.fits) == (16, limit == 20 * GIB)
        found = recommend(odd, machine, choices(odd))
        assert found is None or found.plan.kv_bits == 16


def test_lowering_is_said_in_one_line_and_asking_is_obeyed() -> None:
    assert lowered_note(plan(30_000_000_000)) is None
    note = lowered_note(plan(19_000_000_000))
    assert note is not None and "8-bit KV cache" in note and "of 19.00 GB" in note
    asked = plan(30_000_000_000, kv_bits=4, chunk_tokens=512)
    assert (asked.kv_bits, asked.chunk_tokens) == (4, 512)


def test_refusal_has_the_numbers_and_the_context_that_fits() -> None:
    require_fit(MAGISTRAL_SMALL, plan(30_000_000_000))
    with pytest.raises(MemoryPlanError, match=r"weights 13\.26 .* Use --context \d+,") as caught:
        require_fit(MAGISTRAL_SMALL, plan(16_000_000_000))
    assert str(caught.value).count("\n") == 0
    with pytest.raises(MemoryPlanError, match="fewer bits"):
        require_fit(MAGISTRAL_SMALL, plan(10_000_000_000))


def test_longest_context_is_exactly_the_border() -> None:
    weights = weight_bytes(MAGISTRAL_SMALL, 6)
    tokens = longest_context(MAGISTRAL_SMALL, weights, MAC_32, 8, CONTEXT)
    assert make_plan(MAGISTRAL_SMALL, weights, MAC_32, tokens, kv_bits=8).fits
    assert not make_plan(MAGISTRAL_SMALL, weights, MAC_32, tokens + 256, kv_bits=8).fits


def test_workspace_on_metal_does_not_grow_with_chunk_times_context() -> None:
    def grown(backend: Backend, chunk: int) -> int:
        long, short = (
            pass_bytes(MAGISTRAL_SMALL, backend, chunk, tokens, 16) for tokens in (40960, 8192)
        )
        return long - short

    assert grown(Backend.METAL, 2048) == grown(Backend.METAL, 256)
    assert grown(Backend.CPU, 2048) == 8 * grown(Backend.CPU, 256)
