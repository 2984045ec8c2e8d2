"""Which ids of the target's vocabulary a head can say: those that are said most."""

from collections import Counter
from collections.abc import Iterable

from mlx_magistral.train.drafter.said import Said


def draft_vocabulary(texts: Iterable[Said], size: int, vocab_size: int) -> list[int]:
    """``size`` ids in order, by how often replies have them; the lowest unsaid ones fill it up."""
    counts: Counter[int] = Counter()
    for said in texts:
        counts.update(said.tokens[said.prompt_tokens :])
    ranked = sorted(range(vocab_size), key=lambda token: (-counts[token], token))
    return sorted(ranked[:size])


def covered(texts: Iterable[Said], vocabulary: Iterable[int]) -> float:
    """The share of the ids of replies that are among these."""
    known, said, inside = set(vocabulary), 0, 0
    for each in texts:
        reply = each.tokens[each.prompt_tokens :]
        said += len(reply)
        inside += sum(token in known for token in reply)
    return inside / said if said else 0.0
