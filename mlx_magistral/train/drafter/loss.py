"""What a head is to learn, and its gradients: the target's own distribution at every step.

Cross-entropy against what the target gives the draft vocabulary, a later step counting less
(EAGLE-3's code). At the head over the vocabulary it is done a few rows at a time, with the gradient
of those rows taken before the next, so the logits of all rows are never there.
"""

# mypy: allow-untyped-calls, no-warn-return-any

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mlx.core as mx
from mlx.utils import tree_flatten, tree_unflatten

from mlx_magistral.model.eagle.network import Head
from mlx_magistral.train.drafter.options import STEP_DECAY
from mlx_magistral.train.drafter.said import Rows
from mlx_magistral.train.drafter.unroll import Embed, unrolled, useful_rows
from mlx_magistral.train.gradients import Gradients
from mlx_magistral.train.head import chunk_rows

# The target's logits over the draft vocabulary at some places of a pack.
Wanted = Callable[[mx.array], mx.array]
# Of the head these are after the layer: their gradients come from the chunks of rows.
_AFTER = ("norm.weight", "lm_head.weight")


class DraftLoss(NamedTuple):
    """The weighted mean loss of all steps, the gradients, and what chains came to.

    ``hits`` are at each step the rows whose chain was right up to it, by what was really said
    there, ``asked`` all of them.
    """

    loss: mx.array
    gradients: Gradients
    hits: list[mx.array]
    asked: list[int]


def trainable(head: Head) -> Gradients:
    """Name -> parameter of all that is trained: everything but an embedding."""
    flat: Any = tree_flatten(head.trainable_parameters())
    return {name: each for name, each in flat if not name.startswith("embed_tokens")}


def is_inside(name: str) -> bool:
    """Whether a parameter is before the head over the vocabulary."""
    return name not in _AFTER


def draft_loss(
    head: Head,
    embed: Embed,
    rows: Rows,
    states: mx.array,
    wanted: Wanted,
    targets: mx.array,
    *,
    learns: bool = True,
) -> DraftLoss:
    """Loss of a pack, and where it ``learns`` its gradients; evaluated.

    ``targets`` (draft vocabulary,) are the ids that the head's columns stand for. It is computed in
    the dtype of ``states``, whatever the parameters are kept in.
    """
    parameters = trainable(head)
    inner = {name: each for name, each in parameters.items() if is_inside(name)}
    after = {name: parameters[name] for name in _AFTER if name in parameters}
    found: list[tuple[mx.array, list[mx.array], Gradients]] = []

    def run(*arrays: mx.array) -> mx.array:
        """What has the gradients of the loss: each output times the loss's slope by it."""
        cast = [each.astype(states.dtype) for each in arrays]
        head.update(tree_unflatten(list(zip(inner, cast, strict=True))))
        outputs = useful_rows(unrolled(head, embed, rows, states), rows)
        mx.eval(outputs)
        apart = [mx.stop_gradient(each) for each in outputs]
        loss, hits, slopes, gradients = _steps_loss(
            head, after, apart, rows, wanted, targets, learns
        )
        found.append((loss, hits, gradients))
        weighted = zip(outputs, slopes, strict=True)
        return sum(((output * slope).sum() for output, slope in weighted), mx.zeros(()))

    if learns:
        slopes = mx.grad(run, argnums=list(range(len(inner))))(*inner.values())
        mx.eval(slopes)
    else:
        slopes = []
        run(*inner.values())
    [(loss, hits, gradients)] = found
    head.update(tree_unflatten(list(parameters.items())))
    gradients = {**dict(zip(inner, slopes, strict=True)), **gradients} if learns else {}
    return DraftLoss(loss, gradients, hits, [step.useful.size for step in rows.steps])


def _steps_loss(
    head: Head,
    after: Gradients,
    outputs: Sequence[mx.array],
    rows: Rows,
    wanted: Wanted,
    targets: mx.array,
    learns: bool,
) -> tuple[mx.array, list[mx.array], list[mx.array], Gradients]:
    """Of all steps the loss, the hits, its slopes by the outputs, and by what comes after."""
    loss, slopes, hits = mx.zeros(()), [], []
    summed = {name: mx.zeros_like(each) for name, each in after.items()}
    right: mx.array | None = None
    for step, output, weight in zip(rows.steps, outputs, _shares(rows), strict=True):
        done = _head_loss(head, after, output, wanted, step.read[step.useful], weight, learns)
        loss = loss + done.loss
        slopes.append(done.slope)
        summed = {name: summed[name] + each for name, each in done.gradients.items()}
        true = targets[done.guesses] == rows.tokens[step.read[step.useful] + 1]
        is_right = mx.zeros(rows.asking.shape, mx.int32).at[step.useful].add(true.astype(mx.int32))
        right = is_right if right is None else right * is_right
        hits.append(right.sum())
        mx.eval(loss, summed, right, hits)
    return loss, hits, slopes, summed


class _Done(NamedTuple):
    loss: mx.array
    slope: mx.array
    gradients: Gradients
    guesses: mx.array


def _head_loss(
    head: Head,
    after: Gradients,
    output: mx.array,
    wanted: Wanted,
    places: mx.array,
    weight: float,
    learns: bool,
) -> _Done:
    """The loss of one step's rows, in chunks; its slope by them, and by what comes after them."""
    names = list(after)

    def loss_of(x: mx.array, *arrays: mx.array) -> tuple[mx.array, mx.array]:
        if names:
            cast = [each.astype(x.dtype) for each in arrays]
            head.update(tree_unflatten(list(zip(names, cast, strict=True))))
        logits = head.lm_head(head.norm(x)).astype(mx.float32)
        return _cross_entropy(logits, target).sum() * weight, logits

    loss, slopes, guesses = mx.zeros(()), [], []
    summed = {name: mx.zeros_like(each) for name, each in after.items()}
    at_once = chunk_rows(head.lm_head.weight.shape[0])
    for start in range(0, output.shape[0], at_once):
        chunk = output[start : start + at_once]
        target = wanted(places[start : start + at_once]).astype(mx.float32)
        if learns:
            arguments = list(range(1 + len(names)))
            differentiate = mx.value_and_grad(loss_of, argnums=arguments)
            (part, logits), slope = differentiate(chunk, *after.values())
            slopes.append(slope[0])
            summed = {
                name: summed[name] + each for name, each in zip(names, slope[1:], strict=True)
            }
        else:
            part, logits = loss_of(chunk, *after.values())
        loss = loss + part
        guesses.append(mx.argmax(logits, axis=-1))
        mx.eval(loss, slopes, summed, guesses)
    found = mx.concatenate(guesses) if guesses else mx.zeros((0,), mx.uint32)
    return _Done(loss, mx.concatenate(slopes) if slopes else output, summed, found)


def _cross_entropy(logits: mx.array, target: mx.array) -> mx.array:
    """Of each row (rows, draft vocabulary), against the target's own distribution there."""
    share = mx.softmax(target, axis=-1)
    return mx.logsumexp(logits, axis=-1) - (share * logits).sum(axis=-1)


def _shares(rows: Rows) -> Sequence[float]:
    """What one row of each step counts, so that the steps' means add up with their weights."""
    weights = [STEP_DECAY**number for number in range(len(rows.steps))]
    return [
        weight / sum(weights) / max(step.useful.size, 1)
        for weight, step in zip(weights, rows.steps, strict=True)
    ]
