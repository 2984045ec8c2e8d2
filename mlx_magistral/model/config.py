"""The shape of a model: ModelConfig from params.json or config.json, and back.

No architecture field has a default: a key that is not in the file is an error that names both,
because a guessed rope_theta or head still reads fluently and is wrong. How weights are quantized
is QuantConfig's business (quant_config.py).
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.config_fields import count, flag, optional_count, positive

# The length Mistral recommends for Magistral Small 2507; its trained ceiling is 131,072.
DEFAULT_CONTEXT = 40960

# What a params.json may hold that changes the computation and is not computed here.
_FOREIGN_PARAMS = (
    "moe",
    "lora",
    "rope_scaling",
    "yarn",
    "llama_4_scaling",
    "sliding_window",
    "_sliding_window",
)
_FOREIGN_HF = ("attention_bias", "mlp_bias")
# transformers' name of a multimodal Mistral (2509), whose text_config is a plain mistral.
_MULTIMODAL = "mistral3"


@dataclass(frozen=True)
class ModelConfig:
    """Dimensions and constants of a Mistral, under the names of params.json.

    ``max_position_embeddings`` is the trained ceiling, None where the file does not say.
    """

    dim: int
    n_layers: int
    head_dim: int
    hidden_dim: int
    n_heads: int
    n_kv_heads: int
    vocab_size: int
    rope_theta: float
    norm_eps: float
    max_position_embeddings: int | None
    tie_word_embeddings: bool

    @classmethod
    def from_params(cls, content: dict[str, Any], source: Path | str) -> "ModelConfig":
        """Read a native params.json; a vision encoder beside the text model is passed over.

        Raises CheckpointError naming ``source`` and the key.
        """
        _refuse(content, _FOREIGN_PARAMS, source)
        if packing := content.get("quantization"):
            raise CheckpointError(f"{source}: {_packed(packing)}")
        ceiling = "max_position_embeddings"
        if content.get(ceiling) is None:
            ceiling = "max_seq_len"
        return cls(
            dim=count(content, "dim", source),
            n_layers=count(content, "n_layers", source),
            head_dim=count(content, "head_dim", source),
            hidden_dim=count(content, "hidden_dim", source),
            n_heads=count(content, "n_heads", source),
            n_kv_heads=count(content, "n_kv_heads", source),
            vocab_size=count(content, "vocab_size", source),
            rope_theta=positive(content, "rope_theta", source),
            norm_eps=positive(content, "norm_eps", source),
            max_position_embeddings=optional_count(content, ceiling, source),
            tie_word_embeddings=flag(content, "tied_embeddings", source),
        )._checked(source)

    @classmethod
    def from_hf(cls, content: dict[str, Any], source: Path | str) -> "ModelConfig":
        """Read a config.json of model_type mistral, or the text_config of a multimodal one.

        Raises CheckpointError naming ``source`` and the key.
        """
        content = _text_config(content)
        model_type = content.get("model_type")
        if model_type != "mistral":
            raise CheckpointError(
                f"{source}: model_type is {model_type!r}, and only 'mistral' is read here. "
                "Use a Magistral Small checkpoint."
            )
        _refuse(content, _FOREIGN_HF, source)
        _refuse_scaling(content, source)
        _refuse_window(content, source)
        if content.get("hidden_act", "silu") != "silu":
            raise CheckpointError(
                f"{source}: hidden_act is {content['hidden_act']!r}, and a Mistral has 'silu'."
            )
        return cls(
            dim=count(content, "hidden_size", source),
            n_layers=count(content, "num_hidden_layers", source),
            head_dim=_hf_head_dim(content, source),
            hidden_dim=count(content, "intermediate_size", source),
            n_heads=count(content, "num_attention_heads", source),
            n_kv_heads=count(content, "num_key_value_heads", source),
            vocab_size=count(content, "vocab_size", source),
            rope_theta=_hf_rope_theta(content, source),
            norm_eps=positive(content, "rms_norm_eps", source),
            max_position_embeddings=optional_count(content, "max_position_embeddings", source),
            # transformers leaves the key out where it is its own default for Mistral, which is
            # False; a checkpoint that meant True then fails by name on the missing lm_head.
            tie_word_embeddings=flag(content, "tie_word_embeddings", source),
        )._checked(source)

    def to_params(self) -> dict[str, Any]:
        """The content of a native params.json."""
        content = asdict(self)
        is_tied = content.pop("tie_word_embeddings")
        if self.max_position_embeddings is None:
            del content["max_position_embeddings"]
        return {**content, "tied_embeddings": True} if is_tied else content

    def to_hf(self) -> dict[str, Any]:
        """The content of a config.json that transformers and mlx-lm both read without guessing.

        Explicit on purpose: mlx-lm takes a missing rope_theta for 10000 and a missing
        tie_word_embeddings for True; transformers takes a missing sliding_window for 4096.
        """
        content: dict[str, Any] = {
            "architectures": ["MistralForCausalLM"],
            "model_type": "mistral",
            "hidden_size": self.dim,
            "num_hidden_layers": self.n_layers,
            "head_dim": self.head_dim,
            "intermediate_size": self.hidden_dim,
            "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_kv_heads,
            "vocab_size": self.vocab_size,
            "hidden_act": "silu",
            "rms_norm_eps": self.norm_eps,
            "rope_theta": self.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "sliding_window": None,
            "tie_word_embeddings": self.tie_word_embeddings,
        }
        if self.max_position_embeddings is not None:
            content["max_position_embeddings"] = self.max_position_embeddings
        return content

    def _checked(self, source: Path | str) -> "ModelConfig":
        if self.n_heads % self.n_kv_heads:
            raise CheckpointError(
                f"{source}: {self.n_heads} query heads do not divide among "
                f"{self.n_kv_heads} key-value heads."
            )
        if self.head_dim % 2:
            raise CheckpointError(f"{source}: head_dim is {self.head_dim}; RoPE needs an even one.")
        return self


def ties_without_head(content: dict[str, Any]) -> bool:
    """Whether a multimodal config.json ties the head where none is stored.

    transformers 5 goes by the key at the top, which it writes as true whatever its text_config
    says, and ties where there is no head.
    """
    return _text_config(content) is not content and content.get("tie_word_embeddings") is True


def _text_config(content: dict[str, Any]) -> dict[str, Any]:
    """The part of a config.json that tells of the text model."""
    text = content.get("text_config")
    if content.get("model_type") == _MULTIMODAL and isinstance(text, dict):
        return text
    return content


def _hf_head_dim(content: dict[str, Any], source: Path | str) -> int:
    """head_dim, or dim / heads where it is left out; the weights' shapes then have to agree."""
    if content.get("head_dim") is not None:
        return count(content, "head_dim", source)
    dim, heads = (count(content, key, source) for key in ("hidden_size", "num_attention_heads"))
    return dim // heads if dim % heads == 0 else count(content, "head_dim", source)


def _hf_rope_theta(content: dict[str, Any], source: Path | str) -> float:
    """rope_theta from where older and newer transformers write it; both must agree."""
    parameters = content.get("rope_parameters")
    if parameters is None:
        return positive(content, "rope_theta", source)
    if not isinstance(parameters, dict):
        raise CheckpointError(f"{source}: rope_parameters is {parameters!r}, not an object.")
    rope_type = parameters.get("rope_type", "default")
    if rope_type != "default":
        raise CheckpointError(
            f"{source}: rope_parameters.rope_type is {rope_type!r}, and RoPE scaling is not "
            "computed here. Use an unscaled checkpoint."
        )
    theta = positive({**content, **parameters}, "rope_theta", source)
    if content.get("rope_theta", theta) != theta:
        raise CheckpointError(
            f"{source}: rope_theta is {content['rope_theta']!r} and rope_parameters.rope_theta "
            f"{theta!r}. Keep the right one."
        )
    return theta


def _packed(packing: object) -> str:
    """What to tell of a params.json with weights in 8-bit floats, as Mistral publishes some."""
    form = packing.get("qformat_weight", packing) if isinstance(packing, dict) else packing
    return (
        f"quantization is {form!r}, which is not read here. Use the repository's weights in "
        "bfloat16, or a conversion to MLX."
    )


def _refuse_scaling(content: dict[str, Any], source: Path | str) -> None:
    """Any rope_scaling but the one that scales nothing."""
    scaling = content.get("rope_scaling")
    if isinstance(scaling, dict) and scaling.get("rope_type", scaling.get("type")) == "default":
        if content.get("rope_theta") is None and content.get("rope_parameters"):
            raise CheckpointError(
                f"{source}: rope_scaling stands beside rope_parameters, which alone has rope_theta:"
                " transformers then takes 10000. Remove rope_scaling."
            )
        return
    _refuse(content, ("rope_scaling",), source)


def _refuse_window(content: dict[str, Any], source: Path | str) -> None:
    """A sliding window, unless the whole context fits into it."""
    window, ceiling = content.get("sliding_window"), content.get("max_position_embeddings")
    if isinstance(window, int) and isinstance(ceiling, int) and window >= ceiling:
        return
    _refuse(content, ("sliding_window",), source)


def _refuse(content: dict[str, Any], keys: tuple[str, ...], source: Path | str) -> None:
    for key in keys:
        if content.get(key):
            raise CheckpointError(
                f"{source}: {key} is {content[key]!r}, which this model does not compute. "
                "Use a Magistral Small checkpoint."
            )
