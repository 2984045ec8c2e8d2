"""The shape of a model: ModelConfig from params.json or config.json, and back.

No architecture field has a default: a key that is not in the file is an error that names both,
because a guessed rope_theta or head still reads fluently and is wrong. How weights are quantized
is QuantConfig's business (quant_config.py).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.errors import CheckpointError

# The length Mistral recommends for Magistral Small 2507; its trained ceiling is 131,072.
DEFAULT_CONTEXT = 40960

# What a params.json may hold that changes the computation and is not computed here.
_FOREIGN_PARAMS = (
    "moe",
    "lora",
    "quantization",
    "rope_scaling",
    "yarn",
    "llama_4_scaling",
    "sliding_window",
    "_sliding_window",
)
_FOREIGN_HF = ("rope_scaling", "sliding_window", "attention_bias", "mlp_bias")
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
        ceiling = "max_position_embeddings"
        if content.get(ceiling) is None:
            ceiling = "max_seq_len"
        return cls(
            dim=_count(content, "dim", source),
            n_layers=_count(content, "n_layers", source),
            head_dim=_count(content, "head_dim", source),
            hidden_dim=_count(content, "hidden_dim", source),
            n_heads=_count(content, "n_heads", source),
            n_kv_heads=_count(content, "n_kv_heads", source),
            vocab_size=_count(content, "vocab_size", source),
            rope_theta=_positive(content, "rope_theta", source),
            norm_eps=_positive(content, "norm_eps", source),
            max_position_embeddings=_optional_count(content, ceiling, source),
            tie_word_embeddings=_flag(content, "tied_embeddings", source),
        )._checked(source)

    @classmethod
    def from_hf(cls, content: dict[str, Any], source: Path | str) -> "ModelConfig":
        """Read a config.json of model_type mistral, or the text_config of a multimodal one.

        Raises CheckpointError naming ``source`` and the key.
        """
        if content.get("model_type") == _MULTIMODAL and isinstance(
            content.get("text_config"), dict
        ):
            content = content["text_config"]
        model_type = content.get("model_type")
        if model_type != "mistral":
            raise CheckpointError(
                f"{source}: model_type is {model_type!r}, and only 'mistral' is read here. "
                "Use a Magistral Small checkpoint."
            )
        _refuse(content, _FOREIGN_HF, source)
        if content.get("hidden_act") != "silu":
            raise CheckpointError(
                f"{source}: hidden_act is {content.get('hidden_act')!r}, and a Mistral has 'silu'."
            )
        return cls(
            dim=_count(content, "hidden_size", source),
            n_layers=_count(content, "num_hidden_layers", source),
            head_dim=_count(content, "head_dim", source),
            hidden_dim=_count(content, "intermediate_size", source),
            n_heads=_count(content, "num_attention_heads", source),
            n_kv_heads=_count(content, "num_key_value_heads", source),
            vocab_size=_count(content, "vocab_size", source),
            rope_theta=_hf_rope_theta(content, source),
            norm_eps=_positive(content, "rms_norm_eps", source),
            max_position_embeddings=_optional_count(content, "max_position_embeddings", source),
            # transformers leaves the key out where it is its own default for Mistral, which is
            # False; a checkpoint that meant True then fails by name on the missing lm_head.
            tie_word_embeddings=_flag(content, "tie_word_embeddings", source),
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


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a checkpoint; raises CheckpointError naming the file."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. Fetch the file again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object. Fetch the file again.")
    return content


def _hf_rope_theta(content: dict[str, Any], source: Path | str) -> float:
    """rope_theta from where older and newer transformers write it; both must agree."""
    parameters = content.get("rope_parameters")
    if parameters is None:
        return _positive(content, "rope_theta", source)
    if not isinstance(parameters, dict):
        raise CheckpointError(f"{source}: rope_parameters is {parameters!r}, not an object.")
    rope_type = parameters.get("rope_type", "default")
    if rope_type != "default":
        raise CheckpointError(
            f"{source}: rope_parameters.rope_type is {rope_type!r}, and RoPE scaling is not "
            "computed here. Use an unscaled checkpoint."
        )
    theta = _positive({**content, **parameters}, "rope_theta", source)
    if content.get("rope_theta", theta) != theta:
        raise CheckpointError(
            f"{source}: rope_theta is {content['rope_theta']!r} and rope_parameters.rope_theta "
            f"{theta!r}. Keep the right one."
        )
    return theta


def _refuse(content: dict[str, Any], keys: tuple[str, ...], source: Path | str) -> None:
    for key in keys:
        if content.get(key):
            raise CheckpointError(
                f"{source}: {key} is {content[key]!r}, which this model does not compute. "
                "Use a Magistral Small checkpoint."
            )


def _required(content: dict[str, Any], key: str, source: Path | str) -> Any:
    if content.get(key) is None:
        raise CheckpointError(f"{source} has no {key}. Fetch the file again; it is never guessed.")
    return content[key]


def _count(content: dict[str, Any], key: str, source: Path | str) -> int:
    value = _required(content, key, source)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CheckpointError(f"{source}: {key} is {value!r}, not a positive whole number.")
    return value


def _optional_count(content: dict[str, Any], key: str, source: Path | str) -> int | None:
    return None if content.get(key) is None else _count(content, key, source)


def _positive(content: dict[str, Any], key: str, source: Path | str) -> float:
    value = _required(content, key, source)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e300:
        raise CheckpointError(f"{source}: {key} is {value!r}, not a positive number.")
    return float(value)


def _flag(content: dict[str, Any], key: str, source: Path | str) -> bool:
    value = content.get(key, False)
    if not isinstance(value, bool):
        raise CheckpointError(f"{source}: {key} is {value!r}, not true or false.")
    return value
