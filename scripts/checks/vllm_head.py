#!/usr/bin/env python3
"""A head folder of ours, read by vLLM's own Python code without vLLM's compiled parts.

Its wheel is downloaded under --work. Run from it, on a CPU: the configuration class that a folder
of speculators is told by, what it makes of the proposal, and the renaming that its model of an
EAGLE-3 head does before it copies tensors. Not run: the copying, and a pass, which need vLLM whole.
Fails (exit 1) where a value, a name or a shape is another than the head's.

    scripts/checks/vllm_head.py --work build/vllm [--head FOLDER] [--json]
"""

import argparse
import ast
import json
import subprocess
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import mlx.core as mx

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from model.builders import SMALL  # noqa: E402

from mlx_magistral.model.eagle.network import Head  # noqa: E402
from mlx_magistral.train.drafter.folder import write_head_folder  # noqa: E402
from mlx_magistral.train.drafter.fresh import head_config  # noqa: E402

COLUMNS = 48
_CONFIGS = "vllm/transformers_utils/configs/speculators/"
_MODEL = "vllm/model_executor/models/llama_eagle3.py"
# What a llama layer of two widths and its head have, as vLLM's module names them.
_LAYER = "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj mlp.gate_proj"
_LAYER += " mlp.up_proj mlp.down_proj input_layernorm hidden_norm post_attention_layernorm"
NAMES = {
    "model.fc.weight",
    "model.norm.weight",
    "lm_head.weight",
    "draft_id_to_target_id",
    *(f"model.layers.0.{name}.weight" for name in _LAYER.split()),
}


def wheel(work: Path) -> Path:
    """vLLM's, downloaded once."""
    work.mkdir(parents=True, exist_ok=True)
    if not list(work.glob("vllm-*.whl")):
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*pip, "-d", str(work), "vllm"], check=True)
    return next(work.glob("vllm-*.whl"))


def config_class(files: zipfile.ZipFile) -> Any:
    """vLLM's SpeculatorsConfig; of its package only what that imports is there."""
    for name in ("vllm", "vllm.transformers_utils", "vllm.transformers_utils.configs"):
        sys.modules[name] = types.ModuleType(name)
    package = types.ModuleType("vllm.transformers_utils.configs.speculators")
    sys.modules[package.__name__] = package
    utils = types.ModuleType("vllm.transformers_utils.utils")
    utils.without_trust_remote_code = _function(  # type: ignore[attr-defined]
        files.read("vllm/transformers_utils/utils.py").decode(), "without_trust_remote_code", {}
    )
    sys.modules[utils.__name__] = utils
    for part in ("algos", "base"):
        module = types.ModuleType(f"{package.__name__}.{part}")
        sys.modules[module.__name__] = module
        exec(compile(files.read(f"{_CONFIGS}{part}.py"), part, "exec"), module.__dict__)
    return sys.modules[f"{package.__name__}.base"].SpeculatorsConfig


def renamed(files: zipfile.ZipFile, tensors: dict[str, mx.array]) -> dict[str, mx.array]:
    """What vLLM's head would copy, by the names of its own parameters."""
    taken: dict[str, mx.array] = {}

    class Loader:
        def __init__(self, model: object) -> None:
            pass

        def load_weights(self, weights: Any, mapper: object) -> None:
            taken.update(weights)

    names = {
        "AutoWeightsLoader": Loader,
        "WeightsMapper": lambda **options: None,
        "process_eagle_weight": lambda model, name: None,
    }
    source = files.read(_MODEL).decode()
    load = _function(source, "load_weights", names, inside="Eagle3LlamaForCausalLM")
    inner = types.SimpleNamespace(use_aux_hidden_state=True, norm_before_fc=False)
    load(types.SimpleNamespace(use_parallel_drafting=False, model=inner), tensors.items())
    return taken


def _function(source: str, name: str, names: dict[str, Any], inside: str | None = None) -> Any:
    """A function of a module, or of a class in it, with nothing else of the module around it."""
    body = ast.parse(source).body
    if inside is not None:
        body = next(e for e in body if isinstance(e, ast.ClassDef) and e.name == inside).body
    found = next(each for each in body if isinstance(each, ast.FunctionDef) and each.name == name)
    future = ast.parse("from __future__ import annotations").body
    module = ast.Module([*future, found], type_ignores=[])
    exec(compile(module, name, "exec"), names)
    return names[name]


def fresh_folder(folder: Path) -> Path:
    """A head of random weights."""
    config = head_config(SMALL, COLUMNS)
    head = Head(config, has_embedding=False, has_lm_head=True)
    targets = mx.arange(COLUMNS) + SMALL.vocab_size - COLUMNS
    write_head_folder(folder, head, config, targets, "some/target", "")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument(
        "--head", type=Path, help="a folder of train-drafter (default: a fresh one)"
    )
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    path = wheel(args.work)
    folder = args.head or fresh_folder(args.work / "head")
    stored = json.loads((folder / "config.json").read_text())
    layer = stored["transformer_layer_config"]
    tensors: Any = mx.load(str(folder / "model.safetensors"))
    with zipfile.ZipFile(path) as files:
        theirs = config_class(files)
        config = theirs.from_pretrained(folder)
        proposal = theirs.extract_vllm_speculative_config(stored)
        taken = renamed(files, tensors)
    wrong = [
        name
        for name in ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim")
        + ("intermediate_size", "vocab_size", "rms_norm_eps", "rope_theta")
        if getattr(config, name) != layer[name]
    ]
    aux = stored["eagle_aux_hidden_state_layer_ids"]
    columns, dim = config.draft_vocab_size, config.hidden_size
    checks = {
        "architecture": config.architectures == ["Eagle3LlamaForCausalLM"],
        "layer": not wrong,
        "auxiliary layers": list(config.eagle_aux_hidden_state_layer_ids) == aux,
        "proposal": proposal == {"method": "eagle3", "num_speculative_tokens": 3},
        "names": set(taken) == NAMES,
        "head": taken["lm_head.weight"].shape == (columns, dim),
        "ids": taken["draft_id_to_target_id"].dtype == mx.int64
        and taken["draft_id_to_target_id"].shape == (columns,)
        and int((mx.arange(columns) + taken["draft_id_to_target_id"]).max()) < config.vocab_size,
    }
    found = {"vllm": path.name.split("-")[1], **checks}
    print(json.dumps(found) if args.json else found)
    sys.exit(not all(checks.values()))


if __name__ == "__main__":
    main()
