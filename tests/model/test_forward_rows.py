"""A pass that is asked for few rows' logits gives those of a pass that is asked for all."""

import mlx.core as mx

from mlx_magistral import Magistral
from mlx_magistral.batching.forward import Segment, run_pass
from mlx_magistral.model.caches import make_cache


def test_rows_that_nobody_wants_change_nothing() -> None:
    model = Magistral.load("nano").model
    lengths = (3, 70, 1)
    tokens = [mx.arange(5, 5 + length) for length in lengths]
    whole = [Segment(ids, make_cache(model), len(ids)) for ids in tokens]
    few = [
        Segment(ids, make_cache(model), count) for ids, count in zip(tokens, (0, 1, 1), strict=True)
    ]
    expected, found = run_pass(model, whole), run_pass(model, few)
    assert found[0].shape[0] == 0
    for each, all_rows in zip(found[1:], expected[1:], strict=True):
        assert mx.allclose(each, all_rows[-1:], atol=1e-2)
    for one, other in zip(few, whole, strict=True):
        for layer, whole_layer in zip(one.cache, other.cache, strict=True):
            for array, whole_array in zip(layer.state, whole_layer.state, strict=True):
                assert mx.allclose(array, whole_array, atol=1e-2)
