"""A configuration is read whole or refused by key, and written so that peers do not guess."""

from dataclasses import replace
from typing import Any

import pytest
from model.builders import SMALL

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.quant_config import QuantConfig, QuantFormat

# What Mistral publishes as params.json and config.json of Magistral Small.
PARAMS = {
    "dim": 5120,
    "n_layers": 40,
    "head_dim": 128,
    "hidden_dim": 32768,
    "n_heads": 32,
    "n_kv_heads": 8,
    "rope_theta": 1000000000.0,
    "norm_eps": 1e-05,
    "vocab_size": 131072,
    "max_position_embeddings": 131072,
}
MAGISTRAL = ModelConfig.from_params(PARAMS, "params.json")
HF = MAGISTRAL.to_hf()


def without(content: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in keys}


def test_magistral() -> None:
    assert MAGISTRAL == ModelConfig(
        5120, 40, 128, 32768, 32, 8, 131072, 1e9, 1e-5, 131072, tie_word_embeddings=False
    )


@pytest.mark.parametrize("config", [SMALL, MAGISTRAL, replace(SMALL, tie_word_embeddings=True)])
def test_both_forms_keep_everything(config: ModelConfig) -> None:
    assert ModelConfig.from_params(config.to_params(), "params.json") == config
    assert ModelConfig.from_hf(config.to_hf(), "config.json") == config


def test_trained_ceiling_has_two_names_or_none() -> None:
    bare = without(PARAMS, "max_position_embeddings")
    named = {**bare, "max_seq_len": 4096}
    assert ModelConfig.from_params(named, "p").max_position_embeddings == 4096
    assert ModelConfig.from_params(bare, "p").max_position_embeddings is None


@pytest.mark.parametrize("key", sorted(without(PARAMS, "max_position_embeddings")))
def test_missing_native_key_is_named(key: str) -> None:
    with pytest.raises(CheckpointError, match=f"^params.json has no {key}"):
        ModelConfig.from_params(without(PARAMS, key), "params.json")


@pytest.mark.parametrize(
    "key",
    [
        "hidden_size",
        "num_hidden_layers",
        "intermediate_size",
        "num_attention_heads",
        "num_key_value_heads",
        "vocab_size",
        "rms_norm_eps",
    ],
)
def test_missing_hf_key_is_named(key: str) -> None:
    with pytest.raises(CheckpointError, match=f"^config.json has no {key}"):
        ModelConfig.from_hf(without(HF, key), "config.json")


def test_a_head_dim_left_out_is_dim_by_heads() -> None:
    assert ModelConfig.from_hf(without(HF, "head_dim"), "config.json").head_dim == 160
    with pytest.raises(CheckpointError, match="no head_dim"):
        ModelConfig.from_hf({**without(HF, "head_dim"), "num_attention_heads": 24}, "config.json")


@pytest.mark.parametrize(
    "change",
    [
        {"rope_scaling": {"rope_type": "default"}},
        {"rope_scaling": {"type": "default"}},
        {"sliding_window": 131072},
        {"hidden_act": None},
    ],
)
def test_what_changes_nothing_is_read(change: dict[str, Any]) -> None:
    content = {key: value for key, value in {**HF, **change}.items() if key not in change or value}
    assert ModelConfig.from_hf(content, "config.json") == MAGISTRAL


def test_8_bit_floats_of_a_native_checkpoint_are_one_line() -> None:
    packing = {"qformat_weight": "fp8_e4m3", "qscheme_act": "TENSOR"}
    with pytest.raises(CheckpointError, match=r"^p: quantization is 'fp8_e4m3'.*bfloat16.*$"):
        ModelConfig.from_params({**PARAMS, "quantization": packing}, "p")


class TestRopeTheta:
    def test_either_place_will_do(self) -> None:
        assert ModelConfig.from_hf(without(HF, "rope_parameters"), "c").rope_theta == 1e9
        assert ModelConfig.from_hf(without(HF, "rope_theta"), "c").rope_theta == 1e9

    def test_neither_is_refused(self) -> None:
        with pytest.raises(CheckpointError, match="config.json has no rope_theta"):
            ModelConfig.from_hf(without(HF, "rope_theta", "rope_parameters"), "config.json")

    def test_parameters_without_it_are_refused(self) -> None:
        content = {**without(HF, "rope_theta"), "rope_parameters": {"rope_type": "default"}}
        with pytest.raises(CheckpointError, match="no rope_theta"):
            ModelConfig.from_hf(content, "config.json")

    def test_two_values_are_refused(self) -> None:
        with pytest.raises(CheckpointError, match="rope_theta is 10000"):
            ModelConfig.from_hf({**HF, "rope_theta": 10000}, "config.json")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_type": "llama"}, "model_type is 'llama'"),
        ({"model_type": None}, "model_type is None"),
        ({"model_type": "mistral3"}, "model_type is 'mistral3'"),
        ({"model_type": "mistral3", "text_config": {"model_type": "ministral3"}}, "ministral3"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ({"sliding_window": 4096}, "sliding_window is 4096"),
        ({"rope_scaling": {"type": "yarn"}}, "rope_scaling is"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e9}}, "rope_type is 'yarn'"),
        ({"rope_parameters": 3}, "rope_parameters is 3"),
        ({"rope_theta": None, "rope_scaling": {"type": "default"}}, "beside rope_parameters"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"num_attention_heads": 30}, "30 query heads do not divide"),
        ({"head_dim": 127}, "head_dim is 127"),
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"hidden_size": -8}, "hidden_size is -8"),
        ({"hidden_size": "5120"}, "hidden_size is '5120'"),
        ({"hidden_size": True}, "hidden_size is True"),
        ({"hidden_size": 5120.0}, "hidden_size is 5120.0"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps is nan"),
        ({"max_position_embeddings": 0}, "max_position_embeddings is 0"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings is 'no'"),
    ],
)
def test_what_is_not_computed_is_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        ModelConfig.from_hf({**HF, **change}, "config.json")
    assert "config.json" in str(caught.value) and named in str(caught.value)


@pytest.mark.parametrize("key", ["moe", "yarn", "sliding_window", "quantization"])
def test_native_extras_are_refused(key: str) -> None:
    with pytest.raises(CheckpointError, match=f"params.json: {key} is"):
        ModelConfig.from_params({**PARAMS, key: {"a": 1}}, "params.json")


class TestQuantConfig:
    def test_default_and_overrides(self) -> None:
        table = {
            "group_size": 64,
            "bits": 4,
            "mode": "affine",
            "lm_head": {"group_size": 32, "bits": 6},
            "model.embed_tokens": False,
            "language_model.model.layers.0.self_attn.v_proj": {"group_size": 64, "bits": 8},
        }
        config = QuantConfig.from_hf({"quantization": table}, "config.json")
        assert config is not None
        assert config.for_path("model.layers.3.mlp.up_proj") == QuantFormat(64, 4)
        assert config.for_path("lm_head") == QuantFormat(32, 6)
        assert config.for_path("model.embed_tokens") is None
        assert config.for_path("model.layers.0.self_attn.v_proj") == QuantFormat(64, 8)

    def test_none(self) -> None:
        assert QuantConfig.from_hf(HF, "config.json") is None

    def test_under_its_other_name(self) -> None:
        table = {"group_size": 64, "bits": 4}
        config = QuantConfig.from_hf({"quantization_config": table}, "config.json")
        assert config is not None and config.bits == 4

    @pytest.mark.parametrize(
        ("table", "named"),
        [
            ({"group_size": 32, "bits": 4, "mode": "mxfp4"}, "mode is 'mxfp4'"),
            ({"group_size": 64, "bits": 7}, "bits 7"),
            ({"group_size": 48, "bits": 4}, "group_size 48"),
            ({"group_size": None, "bits": 4}, "group_size None"),
            ({"group_size": 64, "bits": 4, "lm_head": {"bits": 7}}, "lm_head has group_size None"),
            ({"quant_method": "gptq"}, "'gptq'"),
            ({"quant_method": "fp8"}, "'fp8'"),
        ],
    )
    def test_another_is_refused(self, table: dict[str, Any], named: str) -> None:
        with pytest.raises(CheckpointError) as caught:
            QuantConfig.from_hf({"quantization_config": table}, "config.json")
        assert named in str(caught.value)
