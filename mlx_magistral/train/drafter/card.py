"""A head's model card: what it drafts for, what it was trained on, and how often it is right."""

from dataclasses import dataclass

from mlx_magistral.train.drafter.options import DrafterOptions
from mlx_magistral.train.history import History


@dataclass(frozen=True)
class CardFacts:
    """What is known when a training begins. ``covered`` is the share of ids that it can say."""

    name: str
    target: str
    prompts: int
    replies: int
    held_out: int
    reply_tokens: int
    temperature: float
    columns: int
    covered: float


def drafter_card(facts: CardFacts, options: DrafterOptions, history: History) -> str:
    """README.md in the hub's form."""
    best = history.best
    measured = "not measured: no reply was held out"
    if best is not None and best.ids_a_pass is not None:
        measured = f"{best.ids_a_pass:.2f}, after step {best.step:,}"
    rows = {
        "drafts for": facts.target,
        "learned from": f"{facts.replies:,} replies of {facts.target} itself, "
        f"{facts.reply_tokens:,} ids, at temperature {facts.temperature:g}",
        "held out": f"{facts.held_out:,} replies",
        f"ids a pass with {options.unroll} guesses, held out": measured,
        "vocabulary": f"{facts.columns:,} ids, {facts.covered:.1%} of what held-out replies say",
        "steps": f"{len(history.steps):,} of up to {options.pack_tokens:,} ids",
        "rate": f"{options.learning_rate:g}, cosine after a warm-up",
        "seed": str(options.seed),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""---
base_model: {facts.target}
tags:
- eagle3
- speculators
- speculative-decoding
---

# {facts.name}

An EAGLE-3 head that drafts for {facts.target}, trained with mlx-magistral. It changes no token of
what the model says. It is in the format of vllm-project/speculators.

    mlx-magistral generate -m {facts.target} --draft {facts.name} "..."

| | |
|---|---|
{table}

Acceptance was measured on the model's own replies to prompts like those that it learned from.
"""
