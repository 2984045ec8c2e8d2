"""The text model of a multimodal Mistral, as transformers writes it and as Mistral publishes it."""

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from model.builders import SMALL, edit_json, write_native

from mlx_magistral.model.checkpoint import Kind, open_checkpoint
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.config_fields import read_json
from mlx_magistral.model.weights import load_model

TOKENS = [[(7 * i + 3 * row) % 128 for i in range(17)] for row in range(2)]
# As published beside Magistral Small 2509's text model, with smaller numbers.
VISION_ENCODER = {
    "hidden_size": 32,
    "num_channels": 3,
    "image_size": 56,
    "patch_size": 14,
    "rope_theta": 10000.0,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "adapter_bias": False,
    "mm_projector_id": "patch_merge",
    "spatial_merge_size": 2,
    "add_pre_mm_projector_layer_norm": True,
    "image_token_id": 10,
    "image_break_token_id": 12,
    "image_end_token_id": 13,
}
NATIVE_VISION = (
    "vision_encoder.patch_conv.weight",
    "vision_encoder.ln_pre.weight",
    "vision_encoder.transformer.layers.0.attention.wq.weight",
    "vision_language_adapter.w_in.weight",
    "vision_language_adapter.w_out.weight",
    "patch_merger.merging_layer.weight",
    "pre_mm_projector_norm.weight",
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, mx.array]:
    """A folder that transformers wrote, and its logits of text."""
    torch = pytest.importorskip("torch", reason="torch is in the dev extra")
    transformers = pytest.importorskip("transformers", reason="transformers is in the dev extra")
    transformers.utils.logging.disable_progress_bar()
    text = {**SMALL.to_hf(), "max_position_embeddings": 512}
    vision = {
        "model_type": "pixtral",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 16,
        "image_size": 56,
        "patch_size": 14,
    }
    torch.manual_seed(0)
    config = transformers.Mistral3Config(
        text_config=text, vision_config=vision, tie_word_embeddings=False
    )
    model: Any = transformers.Mistral3ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)  # logits near 1, where a wrong order of rows shows
        logits = model(torch.tensor(TOKENS)).logits.float()
    folder = tmp_path_factory.mktemp("published")
    model.save_pretrained(folder)
    return folder, mx.array(logits.numpy())


def test_text_logits_equal_transformers(published: tuple[Path, mx.array]) -> None:
    folder, theirs = published
    checkpoint = open_checkpoint(folder)
    assert checkpoint.kind is Kind.HF
    assert any("vision_tower" in name for name in checkpoint.skipped)
    assert any("multi_modal_projector" in name for name in checkpoint.skipped)
    assert mx.abs(theirs).max() > 0.3
    ours = load_model(folder).model(mx.array(TOKENS))
    assert mx.abs(ours - theirs).max() <= 1e-4


def test_native_folder_with_a_vision_encoder_gives_the_same(
    published: tuple[Path, mx.array], tmp_path: Path
) -> None:
    folder, theirs = published
    text = json.loads((folder / "config.json").read_text())["text_config"]
    config = ModelConfig.from_hf(text, "config.json")
    weights = dict(open_checkpoint(folder).read_all())
    native = write_native(tmp_path / "native", config, weights)
    edit_json(native / "params.json", vision_encoder=VISION_ENCODER)
    file = str(native / "consolidated.safetensors")
    stored = {**mx.load(file), **{name: mx.zeros((4, 4)) for name in NATIVE_VISION}}
    mx.eval(stored)
    mx.save_safetensors(file, stored)
    checkpoint = open_checkpoint(native)
    assert checkpoint.kind is Kind.NATIVE
    assert set(checkpoint.skipped) == set(NATIVE_VISION)
    assert "vision_encoder" in read_json(native / "params.json")
    ours = load_model(native).model(mx.array(TOKENS))
    assert mx.abs(ours - theirs).max() <= 1e-4
