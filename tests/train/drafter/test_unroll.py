"""The chain of every place at once is the chain that drafting would make there, and it learns."""

# mypy: allow-untyped-calls

from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten, tree_unflatten
from model.builders import SMALL
from model.eagle.chains import chain_logits
from model.eagle.heads import write_head

from mlx_magistral.model.eagle.reading import LoadedHead, load_head
from mlx_magistral.train.drafter.loss import draft_loss, trainable
from mlx_magistral.train.drafter.said import Packs, Rows, Said, Window, windows_of
from mlx_magistral.train.drafter.unroll import unrolled, useful_rows

TARGET = replace(SMALL, n_layers=4)
UNROLL = 4


@pytest.fixture
def head(tmp_path: Path) -> LoadedHead:
    folder = write_head(tmp_path / "head", TARGET, without=())
    return load_head(folder, TARGET, dtype=mx.float32)


def _said(length: int, prompt: int, seed: int) -> Said:
    ids = mx.random.randint(0, TARGET.vocab_size, (length,), key=mx.random.key(seed))
    return Said(array("I", ids.tolist()), prompt)


def _states(texts: list[Said]) -> list[mx.array]:
    return [
        mx.random.normal((len(said), 3 * TARGET.dim), key=mx.random.key(90 + number))
        for number, said in enumerate(texts)
    ]


def test_each_place_sees_its_own_chain(head: LoadedHead) -> None:
    texts = [_said(19, 6, 1), _said(13, 1, 2)]
    states = _states(texts)
    rows = Rows([Window(said, 0, len(said)) for said in texts], UNROLL)
    together = mx.concatenate(states)[mx.array(rows.places)]
    outputs = unrolled(head.network, head.network.embed_tokens, rows, together)
    of_row = [
        (number, place) for number, said in enumerate(texts) for place in range(len(said) - 1)
    ]
    asking: Any = rows.asking.tolist()
    assert 0 < len(asking) < rows.count
    for at, row in enumerate(asking):
        number, place = of_row[row]
        tokens = [*texts[number].tokens, *[0] * UNROLL]
        steps = min(UNROLL, len(texts[number]) - 1 - place)
        wanted = chain_logits(head, states[number], tokens, place, steps)
        for step in range(steps):
            normed = head.network.normalized(outputs[step][at])
            assert mx.allclose(head.network.lm_head(normed), wanted[step], atol=1e-4)


def test_rows_learn_what_the_reply_says_and_nothing_of_the_prompt() -> None:
    said = _said(12, 5, 3)
    rows = Rows([Window(said, 0, 12)], UNROLL)
    asking: Any = rows.asking.tolist()
    for step, each in enumerate(rows.steps):
        useful: Any = each.useful.tolist()
        learned = [asking[row] + 2 + step for row in useful]
        assert learned == list(range(max(5, 2 + step), 12))


def test_gradients_are_those_of_the_loss_as_it_is_written_down(head: LoadedHead) -> None:
    network = head.network
    texts = [_said(14, 5, 1), _said(11, 3, 2)]
    rows = Rows([Window(said, 0, len(said)) for said in texts], UNROLL)
    states = mx.concatenate(_states(texts))[mx.array(rows.places)]
    logits = mx.random.normal((25, 64), key=mx.random.key(7))
    targets = mx.arange(0, 128, 2)
    embed = network.embed_tokens
    done = draft_loss(network, embed, rows, states, lambda at: logits[at], targets)

    names = list(trainable(network))

    def plain(*arrays: mx.array) -> mx.array:
        network.update(tree_unflatten(list(zip(names, arrays, strict=True))))
        total, weights = mx.zeros(()), [0.8**step for step in range(UNROLL)]
        outputs = useful_rows(unrolled(network, embed, rows, states), rows)
        for step, output, weight in zip(rows.steps, outputs, weights, strict=True):
            wanted = mx.softmax(logits[step.read[step.useful]], axis=-1)
            guessed = mx.log(mx.softmax(network.lm_head(network.norm(output)), axis=-1))
            total = total - (wanted * guessed).sum(axis=-1).mean() * weight / sum(weights)
        return total

    arrays = list(trainable(network).values())
    loss, gradients = mx.value_and_grad(plain, argnums=list(range(len(names))))(*arrays)
    assert mx.allclose(done.loss, loss, atol=1e-5)
    for name, wanted in zip(names, gradients, strict=True):
        assert mx.allclose(done.gradients[name], wanted, atol=1e-5, rtol=1e-3), name


def test_hits_count_chains_that_are_right_from_their_start(head: LoadedHead) -> None:
    said = _said(30, 4, 5)
    rows = Rows([Window(said, 0, 30)], UNROLL)
    states = mx.random.normal((29, 3 * TARGET.dim), key=mx.random.key(1))
    targets = mx.arange(0, 128, 2)
    done = draft_loss(
        head.network,
        head.network.embed_tokens,
        rows,
        states,
        lambda at: mx.zeros((at.shape[0], 64)),
        targets,
        learns=False,
    )
    hits = [0] * UNROLL
    for place in range(2, 28):
        steps = min(UNROLL, 28 - place)
        for step, logits in enumerate(
            chain_logits(head, states, [*said.tokens, 0, 0], place, steps)
        ):
            if targets[mx.argmax(logits)].item() != said.tokens[place + 2 + step]:
                break
            hits[step] += place + 2 + step >= 4
    assert [each.item() for each in done.hits] == hits
    assert not done.gradients


def test_nothing_is_trained_of_an_embedding(head: LoadedHead) -> None:
    flat: Any = tree_flatten(head.network.parameters())
    assert {name for name, _ in flat} - set(trainable(head.network)) == {"embed_tokens.weight"}


def test_packs_hold_everything_once_and_do_not_depend_on_the_steps_before() -> None:
    texts = [_said(20 + 7 * number, 5, number) for number in range(9)]
    packs = Packs(texts, 64, seed=3)
    assert all(sum(map(len, pack)) <= 64 for pack in packs.all())
    count = packs.packs_an_epoch
    learned = [window.said.digest for step in range(count) for window in packs.step(step)]
    whole = [window.said.digest for said in texts for window in windows_of(said, 64)]
    assert sorted(learned) == sorted(whole)
    again = Packs(texts, 64, seed=3)
    assert [again.step(n) for n in (17, 3, 40)] == [packs.step(n) for n in (17, 3, 40)]


def test_a_long_text_is_cut_where_each_id_of_the_reply_is_learned_once_at_least() -> None:
    said = _said(300, 40, 1)
    windows = windows_of(said, 64)
    assert all(len(window) <= 64 for window in windows)
    covered = {place for each in windows for place in range(each.start, each.end)}
    assert set(range(40, 300)) <= covered
