#!/usr/bin/env python3
"""EAGLE-3 heads against vllm-project/speculators, its own Python code on the CPU.

It builds heads of random weights in each variant, saves them by its own means and computes logits
of chains of several ids at every place of a text, in fp32. Here the saved folder is loaded as
`--draft` loads it and has to give the same within 1e-4. The same weights are then renamed to the
layout of SafeAILab and SGLang and have to give the same again. Last, a head that this project wrote
is loaded by speculators. Its package wants an older transformers than mlx-lm does, so it is
installed by itself under --work.

    scripts/checks/eagle_reference.py --work build/speculators [--json]
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from model.builders import SMALL  # noqa: E402
from model.eagle.chains import chain_logits  # noqa: E402

from mlx_magistral.model.eagle.reading import load_head  # noqa: E402
from mlx_magistral.train.drafter.folder import write_head_folder  # noqa: E402

PACKAGES = (
    "speculators==0.9.0 datasets loguru pydantic-settings multiprocess dill xxhash pyarrow pandas "
    "hs-connectors typer psutil python-dateutil six pytz tzdata"
).split()
STEPS, LENGTH, COLUMNS = 4, 24, 48
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "norm_before_residual": {"norm_before_residual": True},
    "norm_before_fc": {"norm_before_fc": True},
    "fc_norm and norm_output": {"fc_norm": True, "norm_output": True},
    "whole vocabulary": {"draft_vocab_size": SMALL.vocab_size},
}


def install(work: Path) -> None:
    """Put speculators under ``work`` and on the path."""
    if not (work / "speculators").is_dir():
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(work)]
        subprocess.run([*pip, *PACKAGES], check=True)
    sys.path.insert(0, str(work))


def reference(options: dict[str, Any], seed: int) -> Any:
    """A head of speculators with random weights."""
    import torch
    from speculators.config import SpeculatorsConfig, VerifierConfig
    from speculators.models.eagle3 import Eagle3SpeculatorConfig
    from speculators.models.eagle3.core import Eagle3DraftModel
    from speculators.proposals.greedy import GreedyTokenProposalConfig
    from transformers import LlamaConfig

    layer = LlamaConfig(
        hidden_size=SMALL.dim,
        intermediate_size=SMALL.hidden_dim,
        num_hidden_layers=1,
        num_attention_heads=SMALL.n_heads,
        num_key_value_heads=SMALL.n_kv_heads,
        head_dim=SMALL.head_dim,
        vocab_size=SMALL.vocab_size,
        rms_norm_eps=SMALL.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4},
    )
    config = Eagle3SpeculatorConfig(
        transformer_layer_config=layer,
        speculators_config=SpeculatorsConfig(
            algorithm="eagle3",
            proposal_methods=[GreedyTokenProposalConfig(speculative_tokens=4)],
            default_proposal_method="greedy",
            verifier=VerifierConfig(name_or_path=None, architectures=["MistralForCausalLM"]),
        ),
        eagle_aux_hidden_state_layer_ids=[1, 1, 1],
        **{"draft_vocab_size": COLUMNS, **options},
    )
    config.transformer_layer_config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = Eagle3DraftModel(config).float().eval()
    with torch.no_grad():
        for name, each in model.named_parameters():
            size = 1.0 if each.ndim == 1 else each.shape[-1] ** -0.5
            each.copy_(torch.randn_like(each) * (0.1 if each.ndim == 1 else size))
            if each.ndim == 1:
                each.add_(1.0)
            if name == "embed_tokens.weight":
                each.mul_(SMALL.dim**0.5)
        if model.d2t is not None and model.t2d is not None:
            ids = torch.randperm(SMALL.vocab_size)[:COLUMNS].sort().values
            model.d2t.copy_(ids - torch.arange(COLUMNS))
            model.t2d[ids] = True
    return model


def reference_logits(model: Any, states: np.ndarray, tokens: np.ndarray) -> list[np.ndarray]:
    """Of each step (places, columns): row t has read the states up to t and the ids after them."""
    import torch

    found: list[np.ndarray] = []
    hook = model.lm_head.register_forward_hook(
        lambda module, inputs, output: found.append(output[0].detach().numpy())
    )
    with torch.no_grad():
        model(
            hidden_states=torch.from_numpy(states)[None],
            input_ids=torch.from_numpy(tokens[1:])[None],
            document_ids=torch.zeros(1, LENGTH, dtype=torch.long),
            ttt_steps=STEPS,
        )
    hook.remove()
    return found


def worst(folder: Path, states: np.ndarray, tokens: np.ndarray, wanted: list[np.ndarray]) -> float:
    """The largest difference over all places and steps of the head that a folder holds."""
    head = load_head(folder, SMALL, dtype=mx.float32)
    largest = 0.0
    for place in range(LENGTH - STEPS):
        ours = chain_logits(head, mx.array(states), tokens.tolist(), place, STEPS)
        for step, logits in enumerate(ours):
            difference = np.abs(np.array(logits) - wanted[step][place])
            largest = max(largest, float(difference.max()))
    return largest


def as_sglang(source: Path, folder: Path) -> None:
    """The same head as SafeAILab's trainer lays it out."""
    folder.mkdir(exist_ok=True)
    config = json.loads((source / "config.json").read_text())
    flat = {**config["transformer_layer_config"], "draft_vocab_size": config["draft_vocab_size"]}
    flat |= {name: config[name] for name in ("norm_before_residual",)}
    # Counted by the layer whose output is taken.
    flat["eagle_config"] = {"eagle_aux_hidden_state_layer_ids": [0, 0, 0]}
    flat["architectures"] = ["LlamaForCausalLMEagle3"]
    (folder / "config.json").write_text(json.dumps(flat))
    weights: Any = mx.load(str(source / "model.safetensors"))
    renamed = {name.replace("layers.0.", "midlayer."): each for name, each in weights.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), renamed)


def check_variant(name: str, options: dict[str, Any], work: Path) -> dict[str, Any]:
    """The differences of one variant in both layouts."""
    model = reference(options, seed=len(name))
    rng = np.random.default_rng(1)
    states = rng.normal(size=(LENGTH, 3 * SMALL.dim)).astype(np.float32)
    tokens = rng.integers(0, SMALL.vocab_size, LENGTH + 1)
    wanted = reference_logits(model, states, tokens)
    folder = work / "heads" / name.replace(" ", "-")
    model.save_pretrained(folder)
    row = {"variant": name, "speculators": worst(folder, states, tokens, wanted), "sglang": None}
    if not {"norm_before_fc", "fc_norm"} & options.keys():
        as_sglang(folder, folder.with_name(f"{folder.name}-flat"))
        row["sglang"] = worst(folder.with_name(f"{folder.name}-flat"), states, tokens, wanted)
    return row


def check_ours(work: Path) -> float:
    """A folder that this project writes, as speculators loads it."""
    import torch
    from speculators.models.eagle3 import Eagle3SpeculatorConfig
    from speculators.models.eagle3.core import Eagle3DraftModel

    source = work / "heads" / "plain"
    head = load_head(source, SMALL, dtype=mx.float32)
    folder = work / "heads" / "written-here"
    assert head.targets is not None
    embedding = head.network.embed_tokens.weight
    del head.network["embed_tokens"]
    write_head_folder(
        folder, head.network, head.config, head.targets, "target", "", dtype=mx.float32
    )
    # The class that the config names, not from_pretrained, which asks the hub for the target.
    config = Eagle3SpeculatorConfig.from_pretrained(folder)
    config.transformer_layer_config._attn_implementation = "eager"
    loaded = Eagle3DraftModel(config).float().eval()
    stored: Any = mx.load(str(folder / "model.safetensors"))
    tensors = {
        name: torch.from_numpy(
            np.array(each if name in ("t2d", "d2t") else each.astype(mx.float32))
        )
        for name, each in stored.items()
    }
    tensors["embed_tokens.weight"] = torch.from_numpy(np.array(embedding))
    missing, unexpected = loaded.load_state_dict(tensors, strict=False)
    assert not unexpected and set(missing) <= {"verifier_norm.weight", "verifier_lm_head.weight"}
    rng = np.random.default_rng(1)
    states = rng.normal(size=(LENGTH, 3 * SMALL.dim)).astype(np.float32)
    tokens = rng.integers(0, SMALL.vocab_size, LENGTH + 1)
    theirs = reference_logits(loaded, states, tokens)
    return worst(source, states, tokens, theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    install(args.work)
    rows = [check_variant(name, options, args.work) for name, options in VARIANTS.items()]
    ours = check_ours(args.work)
    if args.json:
        print(json.dumps({"variants": rows, "written_here": ours}, indent=1))
    else:
        for row in rows:
            flat = "" if row["sglang"] is None else f", {row['sglang']:.1e} in SGLang's layout"
            print(f"{row['variant']}: {row['speculators']:.1e}{flat}")
        print(f"written here, read by speculators: {ours:.1e}")
    differences = [row[key] for row in rows for key in ("speculators", "sglang") if row[key]]
    sys.exit(any(each > 1e-4 for each in [*differences, ours]))


if __name__ == "__main__":
    main()
