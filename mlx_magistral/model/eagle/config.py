"""HeadConfig: the shape of an EAGLE-3 head, from a published config.json and back.

Two layouts are published: that of vllm-project/speculators, with ``speculators_model_type`` and the
layer's own fields in ``transformer_layer_config``, and that of SafeAILab, SGLang and SpecForge, a
flat llama config whose architecture is LlamaForCausalLMEagle3. What they leave open is filled in as
their own loaders do; what this code does not compute is refused by name.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.config_fields import count, flag, positive

_SPECULATORS = "speculators_model_type"
_LAYER = "transformer_layer_config"
_AUX = "eagle_aux_hidden_state_layer_ids"
_ARCHITECTURE = "Eagle3Speculator"
_FOREIGN = ("attention_bias", "mlp_bias", "sliding_window", "use_sliding_window")


@dataclass(frozen=True)
class HeadConfig:
    """``layer`` is the head's one layer; its vocab_size is the target's.

    ``aux_layers`` are the layers of the target whose input the head sees, as published heads count
    them: 2 is the residual stream between the second and the third. The rest are variants: whether
    the residual is the normalized feature, whether features are normalized before they are joined
    or after it, and whether what is fed back is normalized.
    """

    layer: ModelConfig
    draft_vocab_size: int
    aux_layers: tuple[int, ...]
    norm_before_residual: bool = False
    norm_before_fc: bool = False
    fc_norm: bool = False
    norm_output: bool = False

    @classmethod
    def from_json(
        cls, content: dict[str, Any], source: Path | str, target: ModelConfig
    ) -> "HeadConfig":
        """Read a head's config.json for a target; raises CheckpointError for what does not fit."""
        layer = content.get(_LAYER, content)
        if not isinstance(layer, dict):
            raise CheckpointError(f"{source}: {_LAYER} is {layer!r}, not an object.")
        _refuse_foreign(layer, source)
        config = ModelConfig(
            dim=count(layer, "hidden_size", source),
            n_layers=count(layer, "num_hidden_layers", source),
            head_dim=_head_dim(layer, source),
            hidden_dim=count(layer, "intermediate_size", source),
            n_heads=count(layer, "num_attention_heads", source),
            n_kv_heads=count(layer, "num_key_value_heads", source),
            vocab_size=target.vocab_size,
            rope_theta=_rope_theta(layer, source),
            norm_eps=positive(layer, "rms_norm_eps", source),
            max_position_embeddings=None,
            tie_word_embeddings=False,
        )
        _require_fit(content, layer, config, target, source)
        return cls(
            config,
            count(content, "draft_vocab_size", source)
            if content.get("draft_vocab_size") is not None
            else target.vocab_size,
            _aux_layers(content, target, source),
            *(
                flag(content, name, source)
                for name in ("norm_before_residual", "norm_before_fc", "fc_norm", "norm_output")
            ),
        )

    def to_json(self, target_name: str, guesses: int) -> dict[str, Any]:
        """A config.json of the speculators layout for a target of this name."""
        layer = {
            "model_type": "llama",
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "mlp_bias": False,
            "hidden_act": "silu",
            "hidden_size": self.layer.dim,
            "intermediate_size": self.layer.hidden_dim,
            "num_hidden_layers": 1,
            "num_attention_heads": self.layer.n_heads,
            "num_key_value_heads": self.layer.n_kv_heads,
            "head_dim": self.layer.head_dim,
            "vocab_size": self.layer.vocab_size,
            "rms_norm_eps": self.layer.norm_eps,
            "rope_theta": self.layer.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.layer.rope_theta},
            "max_position_embeddings": self.layer.max_position_embeddings or 131072,
            "tie_word_embeddings": False,
        }
        proposal = {
            "proposal_type": "greedy",
            "speculative_tokens": guesses,
            "verifier_accept_k": 1,
            "accept_tolerance": 0.0,
        }
        return {
            "architectures": [_ARCHITECTURE],
            _SPECULATORS: "eagle3",
            "speculators_version": "0.9.0",
            "draft_vocab_size": self.draft_vocab_size,
            _AUX: list(self.aux_layers),
            "norm_before_residual": self.norm_before_residual,
            "norm_before_fc": self.norm_before_fc,
            "fc_norm": self.fc_norm,
            "norm_output": self.norm_output,
            "embed_requires_grad": False,
            "target_hidden_size": None,
            "tie_word_embeddings": False,
            "speculators_config": {
                "algorithm": "eagle3",
                "proposal_methods": [proposal],
                "default_proposal_method": "greedy",
                "verifier": {
                    "name_or_path": target_name,
                    "architectures": ["MistralForCausalLM"],
                },
            },
            _LAYER: layer,
        }


def is_head(content: dict[str, Any]) -> bool:
    """Whether a config.json is an EAGLE-3 head's, by what both layouts call it."""
    if content.get(_SPECULATORS) is not None:
        return content.get(_SPECULATORS) == "eagle3"
    architectures = content.get("architectures")
    return isinstance(architectures, list) and any("Eagle3" in str(each) for each in architectures)


def default_aux_layers(layers: int) -> tuple[int, ...]:
    """Layers 2, L/2 and L-3, as published heads take them; of a few layers those there are."""
    usual = (2, layers // 2, layers - 3)
    if 0 < usual[0] < usual[1] < usual[2]:
        return usual
    last = layers - 1
    return tuple(sorted({max(1, last * share // 3) for share in (1, 2, 3)} if last else {0}))


def _require_fit(
    content: dict[str, Any],
    layer: dict[str, Any],
    config: ModelConfig,
    target: ModelConfig,
    source: Path | str,
) -> None:
    width = content.get("target_hidden_size") or config.dim
    if config.dim != target.dim or width != target.dim:
        found = width if width != target.dim else config.dim
        raise CheckpointError(
            f"{source} is a head for models of width {found:,}, and this one has {target.dim:,}. "
            "Use a head that was trained for this model."
        )
    vocabulary = layer.get("vocab_size")
    # SpecForge writes the draft's own vocabulary here; the tensors t2d and d2t decide then.
    if vocabulary not in (None, target.vocab_size, content.get("draft_vocab_size")):
        raise CheckpointError(
            f"{source} is a head for a vocabulary of {vocabulary:,}, and this model has "
            f"{target.vocab_size:,}. Use a head that was trained for this model."
        )
    if config.n_layers != 1:
        raise CheckpointError(f"{source} has {config.n_layers} layers; heads of one are read here.")
    if config.n_heads % config.n_kv_heads:
        raise CheckpointError(
            f"{source}: {config.n_heads} query heads do not divide among "
            f"{config.n_kv_heads} key-value heads."
        )


def _aux_layers(
    content: dict[str, Any], target: ModelConfig, source: Path | str
) -> tuple[int, ...]:
    nested = content.get("eagle_config")
    given, shift = content.get(_AUX), 0
    if given is None and isinstance(nested, dict):
        # SGLang and SpecForge count the layers whose output is taken.
        given, shift = nested.get(_AUX), 1
    if given is None:
        return default_aux_layers(target.n_layers)
    is_list = isinstance(given, list) and all(isinstance(each, int) for each in given)
    if not is_list or not all(0 < each + shift < target.n_layers for each in given):
        raise CheckpointError(
            f"{source}: {_AUX} is {given!r}; this model can give the input of its layers 1 to "
            f"{target.n_layers - 1}. Use a head that was trained for this model."
        )
    return tuple(each + shift for each in given)


def _refuse_foreign(layer: dict[str, Any], source: Path | str) -> None:
    if layer.get("model_type", "llama") not in ("llama", "mistral"):
        raise CheckpointError(
            f"{source}: the head's layer is of type {layer['model_type']!r}; those of llama are "
            "computed here."
        )
    if layer.get("hidden_act", "silu") != "silu":
        raise CheckpointError(f"{source}: hidden_act is {layer['hidden_act']!r}, not 'silu'.")
    for name in _FOREIGN:
        if layer.get(name):
            raise CheckpointError(f"{source}: {name} is {layer[name]!r}, which is not computed.")


def _head_dim(layer: dict[str, Any], source: Path | str) -> int:
    if layer.get("head_dim") is not None:
        return count(layer, "head_dim", source)
    dim, heads = (count(layer, key, source) for key in ("hidden_size", "num_attention_heads"))
    return dim // heads


def _rope_theta(layer: dict[str, Any], source: Path | str) -> float:
    """Unscaled, from where older and newer transformers write it; 10000 is llama's default."""
    for name in ("rope_scaling", "rope_parameters"):
        scaling = layer.get(name)
        kind = scaling.get("rope_type", "default") if isinstance(scaling, dict) else "default"
        if kind != "default":
            raise CheckpointError(
                f"{source}: {name} scales RoPE by {kind!r}, which is not computed here."
            )
    parameters = layer.get("rope_parameters")
    nested = parameters if isinstance(parameters, dict) else {}
    given = {**layer, **{key: nested[key] for key in ("rope_theta",) if nested.get(key)}}
    return positive({"rope_theta": 10000.0, **given}, "rope_theta", source)
