"""Shares: every rank has its part, the parts are the whole, and other numbers are refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.nn.layers.quantized import quantize
from mlx.utils import tree_flatten

from mlx_magistral.cluster.share import Share, Split, make_shares
from mlx_magistral.cluster.slices import read_share
from mlx_magistral.errors import UsageError
from mlx_magistral.model.checkpoint import Checkpoint, open_checkpoint
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import Transformer
from tests.model.builders import SMALL, random_weights, write_hf, write_native

EIGHT = replace(SMALL, n_heads=8, n_kv_heads=8, hidden_dim=512, head_dim=64)


def quantized(folder: Path, config: ModelConfig) -> Path:
    """The folder of a random model with every matrix at 4 bits."""
    model = Transformer(config)
    model.load_weights(list(random_weights(config).items()))
    quantize(model, 32, 4)
    flat: Any = tree_flatten(model.parameters())
    form = {"group_size": 32, "bits": 4}
    return write_hf(folder, config, dict(flat), extra_config={"quantization": form})


@pytest.fixture(params=["native", "hf", "bf16", "quantized"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    match request.param:
        case "native":
            return open_checkpoint(write_native(tmp_path / "model", EIGHT))
        case "hf":
            return open_checkpoint(write_hf(tmp_path / "model", EIGHT, shards=2))
        case "bf16":
            weights = random_weights(EIGHT, mx.bfloat16)
            return open_checkpoint(write_hf(tmp_path / "model", EIGHT, weights))
    return open_checkpoint(quantized(tmp_path / "model", EIGHT))


@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_the_shares_of_all_ranks_are_the_whole(checkpoint: Checkpoint, ranks: int) -> None:
    whole = dict(checkpoint.read_all())
    shares = make_shares(checkpoint, ranks, Split.HEADS)
    parts = [dict(read_share(checkpoint, share)) for share in shares]
    for name, expected in whole.items():
        axis = shares[0].axis(name)
        pieces = [part[name] for part in parts]
        found = pieces[0] if axis is None else mx.concatenate(pieces, axis)
        assert found.dtype == expected.dtype and mx.array_equal(found, expected), name


@pytest.mark.usefixtures("settled")
def test_a_share_takes_no_more_memory_than_its_bytes(tmp_path: Path) -> None:
    config = replace(EIGHT, dim=512, hidden_dim=4096)
    checkpoint = open_checkpoint(write_hf(tmp_path / "model", config))
    share = make_shares(checkpoint, 2, Split.HEADS)[1]
    before = mx.get_active_memory()
    read = dict(read_share(checkpoint, share))
    mx.eval(read)
    taken = mx.get_active_memory() - before
    # Cut by columns too: MLX rounds each array up to whole pages.
    assert taken <= share.of(checkpoint).nbytes + 16384 * len(read)


def test_layers_are_dealt_out_once_each_in_proportion_to_the_memory(tmp_path: Path) -> None:
    config = replace(SMALL, n_layers=10)
    checkpoint = open_checkpoint(write_hf(tmp_path / "model", config))
    shares = make_shares(checkpoint, 3, Split.LAYERS, limits=[32, 16, 32])
    assert [share.layers for share in shares] == [(0, 4), (4, 6), (6, 10)]
    names = [dict(read_share(checkpoint, share)).keys() for share in shares]
    assert sum(map(len, names)) == len(checkpoint.tensors)
    assert "lm_head.weight" in names[0] and "model.norm.weight" not in names[2]


def test_a_rank_plans_for_what_it_reads(checkpoint: Checkpoint) -> None:
    for share in make_shares(checkpoint, 2, Split.HEADS):
        read = sum(array.nbytes for _, array in read_share(checkpoint, share))
        assert share.of(checkpoint).nbytes == read


def test_a_number_that_does_not_divide_the_heads_is_refused_with_those_that_do(
    tmp_path: Path,
) -> None:
    checkpoint = open_checkpoint(write_hf(tmp_path / "model", EIGHT))
    with pytest.raises(UsageError, match=r"3 ranks .* 8 key-value heads\. Take 2 or 4 or 8"):
        make_shares(checkpoint, 3, Split.HEADS)


def test_more_ranks_than_layers_are_refused(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_hf(tmp_path / "model", SMALL))
    with pytest.raises(UsageError, match="3 ranks for 2 layers"):
        make_shares(checkpoint, 3, Split.LAYERS)


def test_a_share_has_its_part_of_the_heads() -> None:
    held = Share(1, 4, Split.HEADS, (0, 2)).config(EIGHT)
    assert (held.n_heads, held.n_kv_heads, held.hidden_dim) == (2, 2, 128)
    assert (held.dim, held.head_dim, held.n_layers) == (EIGHT.dim, EIGHT.head_dim, 2)
