"""How a checkpoint's matrices are stored, in words: the bits of most, and how many have others."""

from collections import Counter

from mlx_magistral.model.checkpoint import Checkpoint

_FEWEST_WRITTEN = 3


def stored_as(checkpoint: Checkpoint) -> str:
    """The format of most matrices, how many have another, and a word on too few bits."""
    if checkpoint.quantization is None:
        return "not quantized"
    modules = [name.removesuffix(".scales") for name in checkpoint.tensors if ".scales" in name]
    counts = Counter(checkpoint.quantization.for_path(module) for module in modules)
    by_frequency = [(form, count) for form, count in counts.most_common() if form is not None]
    shown = ", ".join(
        f"{form.bits} bits in groups of {form.group_size} ({count} matrices)"
        for form, count in by_frequency
    )
    if any(form.bits < _FEWEST_WRITTEN for form, _ in by_frequency):
        shown += "; fewer than 3 bits, which convert never writes, cost much of what a model knows"
    return shown
