"""Every way to compute a step gives the loss and gradients of the plain way."""

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import mlx.core as mx
import pytest
from mlx.nn.losses import cross_entropy
from mlx.utils import tree_unflatten
from model.builders import CONFIGS
from training_models import HEAD, example, examples, trained_model

from mlx_magistral.model.transformer import Transformer
from mlx_magistral.train import attention, packing
from mlx_magistral.train.example import Example, targets_of
from mlx_magistral.train.gradients import (
    Gradients,
    layer_by_layer,
    losses_of,
    trainable,
    whole_graph,
)
from mlx_magistral.train.head import graph_loss, head_loss, row_losses
from mlx_magistral.train.options import Method, TrainOptions
from mlx_magistral.train.packing import Batches, Pack

WAYS = [whole_graph, layer_by_layer]


def plain(model: Transformer, chosen: Sequence[Example]) -> tuple[mx.array, Gradients]:
    """One example after the other, all logits, by autodiff: slow and plain."""

    def loss_of(parameters: Gradients) -> mx.array:
        model.update(tree_unflatten(list(parameters.items())))
        total = mx.array(0.0)
        for each in chosen:
            logits = model(mx.array([list(each.tokens[:-1])]))[0]
            losses = cross_entropy(logits, mx.array(list(each.tokens[1:])))
            total = total + (losses * mx.array(targets_of(each)[1:])).sum()
        return total

    loss, gradients = mx.value_and_grad(loss_of)(trainable(model))
    mx.eval(loss, gradients)
    return loss, gradients


def largest_difference(one: Gradients, other: Gradients) -> float:
    assert one.keys() == other.keys()
    return max(float(mx.abs(one[name] - other[name]).max().item()) for name in one)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", list(Method))
def test_a_pack_gives_what_its_examples_give_alone(way: Any, method: Method) -> None:
    model = trained_model(TrainOptions(rank=4, alpha=8.0, method=method))
    chosen = [example(Random(1), length) for length in (9, 31, 30, 14, 30)]
    loss, gradients = plain(model, chosen)
    part = way(model, Pack(tuple(chosen)))
    assert abs(float((part.loss - loss).item())) <= 1e-5 * float(loss.item())
    # DoRA's lengths take no gradient, and the plain way has them fixed by the same rule.
    assert largest_difference(part.gradients, gradients) <= 1e-5


@pytest.mark.parametrize("way", WAYS)
def test_a_shared_beginning_goes_through_once(way: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_FEWEST_SHARED", 2)
    model = trained_model()
    chosen = [example(Random(1), length, head=HEAD) for length in (9, 31, 14)]
    # The first id that is learned follows the shared ones at once: it is predicted from them.
    chosen[1] = Example(chosen[1].tokens, ((5, 9), (12, 20)), "x")
    pack = Pack(tuple(chosen))
    assert pack.shared == len(HEAD)
    assert len(pack.inputs) == sum(map(len, chosen)) - 3 - 2 * len(HEAD)
    loss, gradients = plain(model, chosen)
    part = way(model, pack)
    assert abs(float((part.loss - loss).item())) <= 1e-5 * float(loss.item())
    assert largest_difference(part.gradients, gradients) <= 1e-5


def test_nothing_that_is_learned_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "_FEWEST_SHARED", 2)
    chosen = [example(Random(1), 12, head=HEAD) for _ in range(2)]
    learned = Example(chosen[0].tokens, ((3, 9),), "x")
    assert Pack((learned, chosen[1])).shared == 3


@pytest.fixture
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(attention, "LONG_TOKENS", 1)
    monkeypatch.setattr(attention, "BLOCK_ROWS", 8)
    attention._in_blocks.cache_clear()
    yield
    attention._in_blocks.cache_clear()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_attention_in_blocks_has_the_gradients_of_autodiff(config: Any, short_blocks: None) -> None:
    D, H, G = config.head_dim, config.n_heads, config.n_kv_heads
    q, k, v, slope = (
        mx.random.normal((2, heads, length, D), key=mx.random.key(number))
        for number, (heads, length) in enumerate(((H, 21), (G, 26), (G, 26), (H, 21)))
    )

    def whole(q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=0.2, mask="causal")

    def blocks(q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        return attention.trained_attention(q, k, v, 0.2)

    (out,), slopes = mx.vjp(whole, [q, k, v], [slope])
    (own_out,), own_slopes = mx.vjp(blocks, [q, k, v], [slope])
    assert mx.abs(out - own_out).max() <= 1e-5
    for one, other in zip(slopes, own_slopes, strict=True):
        assert mx.abs(one - other).max() <= 1e-5


def test_a_long_example_takes_blocks(short_blocks: None) -> None:
    model = trained_model()
    chosen = [example(Random(3), 40)]
    loss, gradients = plain(model, chosen)
    part = layer_by_layer(model, Pack(tuple(chosen)))
    assert largest_difference(part.gradients, gradients) <= 1e-5
    assert abs(float((part.loss - loss).item())) <= 1e-3


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_the_head_in_chunks_has_the_loss_and_gradient_of_the_whole(chunk: int) -> None:
    weight = mx.random.normal((97, 16), key=mx.random.key(0))
    hidden = mx.random.normal((23, 16), key=mx.random.key(1))
    targets = mx.random.randint(0, 97, (23,), key=mx.random.key(2))

    def head(rows: mx.array) -> mx.array:
        return rows @ weight.T

    loss, slope = mx.value_and_grad(lambda rows: row_losses(head, rows, targets).sum())(hidden)
    in_graph = mx.value_and_grad(lambda rows: 2 * graph_loss(head, rows, targets, chunk))(hidden)
    for found, gradient in (
        head_loss(head, hidden, targets, chunk),
        (each / 2 for each in in_graph),
    ):
        assert abs(float((found - loss).item())) <= 1e-5 * float(loss.item())
        assert mx.abs(gradient - slope).max() <= 1e-5


def test_in_a_graph_more_chunks_hold_no_more_logits() -> None:
    weight = mx.random.normal((4096, 8), key=mx.random.key(0)).astype(mx.bfloat16)

    def peak_of(count: int) -> int:
        hidden = mx.random.normal((count, 8), key=mx.random.key(1)).astype(mx.bfloat16)
        targets = mx.zeros((count,), mx.uint32)

        def loss_of(hidden: mx.array) -> mx.array:
            return graph_loss(lambda rows: rows @ weight.T, hidden, targets, 32)

        return peak(lambda: mx.value_and_grad(loss_of)(hidden))

    assert peak_of(1024) <= 1.2 * peak_of(512)


def test_chunks_of_the_head_keep_no_more_of_the_layers() -> None:
    model, pack = trained_model(), Pack((example(Random(3), 400),))
    once = peak(lambda: whole_graph(model, pack))
    assert peak(lambda: whole_graph(model, pack, rows_at_once=40)) <= 1.1 * once


def peak(compute: Callable[[], Any]) -> int:
    """Bytes at the peak, what was there before taken off."""
    mx.synchronize()
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    mx.eval(compute())
    return mx.get_peak_memory() - before


@pytest.mark.parametrize("way", WAYS)
def test_a_pack_whose_logits_are_many_chunks_gives_the_same(way: Any) -> None:
    model, chosen = trained_model(), examples(5)
    loss, gradients = plain(model, chosen)
    part = way(model, Pack(tuple(chosen)), rows_at_once=7)
    assert abs(float((part.loss - loss).item())) <= 1e-5 * float(loss.item())
    assert largest_difference(part.gradients, gradients) <= 1e-5


def test_accumulated_packs_are_one_large_batch() -> None:
    model, chosen = trained_model(), examples(8)
    whole = whole_graph(model, Pack(tuple(chosen)))
    parts = [whole_graph(model, Pack(tuple(chosen[start : start + 2]))) for start in range(0, 8, 2)]
    summed = {name: sum(part.gradients[name] for part in parts) for name in whole.gradients}
    assert largest_difference(whole.gradients, summed) <= 1e-5


def test_losses_come_by_example() -> None:
    model, chosen = trained_model(), examples(3)
    for each, losses in zip(chosen, losses_of(model, Pack(tuple(chosen))), strict=True):
        loss, _ = plain(model, [each])
        assert losses.size == each.target_count
        assert abs(float((losses.sum() - loss).item())) <= 1e-4


def test_every_epoch_has_each_example_once_and_groups_others() -> None:
    chosen = examples(50)
    batches = Batches(chosen, batch_size=4, accumulation=3, seed=1)
    epochs = [batches.epoch(number) for number in range(2)]
    for packs in epochs:
        seen = [id(each) for pack in packs for each in pack.examples]
        assert sorted(seen) == sorted(map(id, chosen))
    assert epochs[0] != epochs[1]
    assert batches.step(4) == Batches(chosen, 4, 3, 1).step(4)
    assert batches.step(4) == [*epochs[0][12:13], *epochs[1][:2]]


def test_no_epoch_has_a_pack_of_more_than_the_longest() -> None:
    batches = Batches(examples(50), batch_size=4, accumulation=1, seed=1)
    most = batches.longest.token_count
    for number in range(4):
        assert all(pack.token_count <= most for pack in batches.epoch(number))


def test_padding_is_little_and_lengths_stand_together() -> None:
    packs = Batches(examples(200), batch_size=8, accumulation=1, seed=0).epoch(0)
    spread = [max(pack.lengths) / min(pack.lengths) for pack in packs]
    assert sorted(spread)[len(spread) // 2] <= 1.15
