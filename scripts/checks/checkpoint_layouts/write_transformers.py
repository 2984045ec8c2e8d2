#!/usr/bin/env python3
"""Written with the transformers of its own interpreter: layouts, and that version's logits of each.

Stands alone, so that any version's environment runs it: write_transformers.py FOLDER. Each layout
is a folder with logits.npy in it where this version loads what it wrote, and refusal.txt otherwise.
"""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

TOKENS = [[(7 * place) % 320 for place in range(12)]]
INDEX = "model.safetensors.index.json"
MAJOR = int(transformers.__version__.split(".")[0])
SIZES: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "max_position_embeddings": 1024,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
SHARDS: dict[str, Any] = {"max_shard_size": "700KB"}
Edit = Callable[[Path], None]


def sizes(theta: float = 1e6, **changes: Any) -> dict[str, Any]:
    if MAJOR < 5:
        return {**SIZES, "rope_theta": theta, **changes}
    rope = {"rope_type": "default", "rope_theta": theta}
    return {**SIZES, "rope_parameters": rope, **changes}


def randomized(model: Any) -> Any:
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 0.1 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5
            parameter.copy_(torch.randn_like(parameter) * scale + (parameter.ndim == 1))
    if getattr(model.config, "tie_word_embeddings", False):
        model.tie_weights()
    return model.eval()


def loaded(kind: Any, folder: Path) -> Any:
    dtype = "dtype" if MAJOR >= 5 else "torch_dtype"
    return kind.from_pretrained(folder, **{dtype: torch.float32}).eval()


def write(
    folder: Path,
    model: Any,
    *,
    dtype: torch.dtype = torch.float32,
    edit: Edit | None = None,
    edit_after: Edit | None = None,
    **saving: Any,
) -> None:
    """Save, change what a user or another tool would, load again and keep the logits."""
    randomized(model).to(dtype).save_pretrained(folder, **saving)
    if edit is not None:
        edit(folder)
    try:
        again = loaded(type(model), folder)
        with torch.no_grad():
            logits = again(torch.tensor(TOKENS)).logits
        np.save(folder / "logits.npy", logits.float().numpy())
    except Exception as error:  # noqa: BLE001 - whatever this version says to it
        (folder / "refusal.txt").write_text(f"{type(error).__name__}: {error}".splitlines()[0])
    if edit_after is not None:
        edit_after(folder)


def change_json(name: str, *gone: str, **changes: Any) -> Edit:
    def edit(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        content = {key: value for key, value in content.items() if key not in gone}
        (folder / name).write_text(json.dumps({**content, **changes}))

    return edit


def change_places(change: Callable[[dict[str, str]], Any]) -> Edit:
    def edit(folder: Path) -> None:
        content = json.loads((folder / INDEX).read_text())
        change(content["weight_map"])
        (folder / INDEX).write_text(json.dumps(content))

    return edit


def stale_index(folder: Path) -> None:
    places = {"model.norm.weight": "model-00001-of-00009.safetensors"}
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))


def sidecar(folder: Path) -> None:
    from safetensors.torch import save_file

    (folder / "optiq").mkdir()
    name = "vision_tower.patch_conv.weight"
    save_file({name: torch.zeros(2, 2)}, folder / "optiq" / "optiq_vision.safetensors")
    change_places(lambda places: places.update({name: "optiq/optiq_vision.safetensors"}))(folder)


def head_stored_again(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    weights = load_file(file)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, file, metadata={"format": "pt"})


def exfat_files(folder: Path) -> None:
    for file in list(folder.glob("*.safetensors")):
        (folder / f"._{file.name}").write_bytes(b"\0\5\x16\7" * 20)


def mistral(**changes: Any) -> MistralForCausalLM:
    return MistralForCausalLM(MistralConfig(**sizes(**changes)))


def write_all(root: Path) -> None:
    write_values(root)
    write_settings(root)
    write_positions(root)
    write_indexes(root)
    if MAJOR < 5:
        write(root / "pytorch_model.bin alone", mistral(), safe_serialization=False)
    write(root / "Llama", LlamaForCausalLM(LlamaConfig(**sizes())))
    write_multimodal(root)


def write_values(root: Path) -> None:
    """In each dtype, in shards, and with a head that is tied."""
    write(root / "float32", mistral())
    write(root / "bfloat16", mistral(), dtype=torch.bfloat16)
    write(root / "float16", mistral(), dtype=torch.float16)
    write(root / "in shards with an index", mistral(), **SHARDS)
    tied: dict[str, Any] = {"tie_word_embeddings": True}
    write(root / "head tied to the embedding", mistral(**tied))
    write(root / "tied head that is stored all the same", mistral(**tied), edit=head_stored_again)


def write_settings(root: Path) -> None:
    """With less in config.json than one expects, and with more."""
    for key, changes in {"head_dim": {"head_dim": 64}, "hidden_act": {}}.items():
        edit = change_json("config.json", key)
        write(root / f"{key} left out", mistral(**changes), edit=edit)
    left_over = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    write(
        root / "left-over bitsandbytes entry on float weights",
        mistral(),
        edit_after=change_json("config.json", quantization_config=left_over),
    )


def write_positions(root: Path) -> None:
    """RoPE as each version says it, scaled and not, and sliding windows."""
    default = {"rope_type": "default"}
    write(
        root / 'rope_scaling `{"rope_type": "default"}`',
        mistral(),
        edit=change_json("config.json", "rope_parameters", rope_theta=1e6, rope_scaling=default),
    )
    if MAJOR >= 5:
        write(
            root / "rope_scaling beside rope_parameters, which alone has rope_theta",
            mistral(),
            edit=change_json("config.json", rope_scaling=default),
        )
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256}
    scaled = (
        {"rope_scaling": yarn} if MAJOR < 5 else {"rope_parameters": yarn | {"rope_theta": 1e6}}
    )
    write(root / "RoPE scaled by yarn", mistral(**scaled))
    write(root / "sliding window as long as the context", mistral(sliding_window=1024))
    write(root / "sliding window shorter than the context", mistral(sliding_window=8))


def write_indexes(root: Path) -> None:
    """Beside an index that is stale or incomplete, or files that are none of the model's."""
    write(root / "stale index beside a whole file", mistral(), edit=stale_index)
    write(root / "index naming a sidecar in a sub-folder", mistral(), edit_after=sidecar, **SHARDS)
    without_norm = change_places(lambda places: places.pop("model.norm.weight"))
    write(root / "index that leaves a tensor out", mistral(), edit_after=without_norm, **SHARDS)
    write(root / "`._` files of macOS on exFAT", mistral(), edit=exfat_files, **SHARDS)


def write_multimodal(root: Path) -> None:
    """Mistral3, as Small 3.x and 2509 are; its text model is a Mistral."""
    try:
        from transformers import Mistral3Config, Mistral3ForConditionalGeneration
    except ImportError:
        return
    vision = {
        "model_type": "pixtral",
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "head_dim": 32,
        "image_size": 64,
        "patch_size": 16,
    }

    def multimodal(**changes: Any) -> Any:
        text = {"model_type": "mistral", **sizes(**changes)}
        return Mistral3ForConditionalGeneration(
            Mistral3Config(text_config=text, vision_config=vision, **top)
        )

    top: dict[str, Any] = {"tie_word_embeddings": False}
    write(root / "Mistral3 (multimodal)", multimodal())
    write(root / "Mistral3 in shards", multimodal(), max_shard_size="700KB")
    top = {}
    write(root / "Mistral3 with its own default of tying", multimodal())


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    write_all(Path(sys.argv[1]))
