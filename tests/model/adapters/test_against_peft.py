"""Adapters that PEFT trained on transformers give here the logits that they give there."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from model.builders import write_hf

from mlx_magistral.errors import AdapterError
from mlx_magistral.model.adapters.placing import place_adapter
from mlx_magistral.model.adapters.reading import read_adapter
from mlx_magistral.model.weights import load_model

torch = pytest.importorskip("torch", reason="torch is in the dev extra")
peft = pytest.importorskip("peft", reason="peft is in the dev extra")
transformers = pytest.importorskip("transformers", reason="transformers is in the dev extra")

# PEFT warns of what it cannot merge; nothing is merged here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TOKENS = [[5, 9, 2, 77, 31, 8, 1]]
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def write_with_peft(base: Path, folder: Path, **options: Any) -> Any:
    """A PEFT adapter with random content in ``folder``; returns the logits it gives."""
    torch.manual_seed(0)
    model = transformers.MistralForCausalLM.from_pretrained(
        base, dtype=torch.float32, attn_implementation="eager"
    )
    config = peft.LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": ALL, **options})
    adapted = peft.get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    adapted.eval().save_pretrained(folder)
    with torch.no_grad():
        return mx.array(adapted(torch.tensor(TOKENS)).logits.numpy())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"use_dora": True},
        {
            "rank_pattern": {"q_proj": 8, r"layers\.1\.mlp\.up_proj": 2},
            "alpha_pattern": {"layers.0.self_attn.v_proj": 32, "down_proj": 3},
        },
        {"layers_to_transform": [1], "target_modules": ["q_proj", "down_proj"]},
        {"target_modules": ["q_proj", "lm_head"]},
    ],
    ids=["lora", "rslora", "dora", "patterns", "chosen layers", "head"],
)
def test_logits_equal(tmp_path: Path, options: dict[str, Any]) -> None:
    base = write_hf(tmp_path / "base")
    theirs = write_with_peft(base, tmp_path / "adapter", **options)
    model = load_model(base).model
    plain = model(mx.array(TOKENS))
    place_adapter(model, read_adapter(tmp_path / "adapter"))
    ours = model(mx.array(TOKENS))
    assert mx.abs(ours - plain).max() > 0.01
    assert np.abs(np.array(ours - theirs)).max() <= 1e-4


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "lora_only"}, "bias"),
        ({"lora_bias": True}, "lora_bias"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(
    tmp_path: Path, options: dict[str, Any], named: str
) -> None:
    base = write_hf(tmp_path / "base")
    write_with_peft(base, tmp_path / "adapter", **options)
    with pytest.raises(AdapterError, match=named):
        read_adapter(tmp_path / "adapter")
