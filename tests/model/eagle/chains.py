"""A head's logits along a chain, by the pieces that drafting uses."""

# mypy: allow-untyped-calls

from collections.abc import Sequence

import mlx.core as mx

from mlx_magistral.model.eagle.reading import LoadedHead
from mlx_magistral.model.eagle.window import WindowCache


def chain_logits(
    head: LoadedHead, states: mx.array, tokens: Sequence[int], place: int, steps: int
) -> list[mx.array]:
    """Logits (columns,) of each step at ``place``: ``states`` (places, features * dim) up to it are
    read, and of ``tokens`` those after them; later steps read ids further on."""
    network, cache = head.network, WindowCache()
    layer, embed = network.layers[0], network.embed_tokens
    read = mx.array(list(tokens[1 : place + 2]))
    output = layer.read(embed(read)[None], network.features(states[: place + 1])[None], cache)
    logits = []
    for step in range(steps):
        logits.append(network.lm_head(network.normalized(output))[0, -1])
        following = mx.array([tokens[place + 2 + step]])
        output = layer.read(embed(following)[None], network.fed_back(output), cache)
    return logits
