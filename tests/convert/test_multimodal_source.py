"""Magistral Small 2509 as a source: its text model in either layout, without the vision tower."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from click.testing import CliRunner
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from model.builders import edit_json
from model.test_multimodal import NATIVE_VISION, VISION_ENCODER

from mlx_magistral import Magistral
from mlx_magistral.cli.main import main
from mlx_magistral.errors import PromptError
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.model.checkpoint import open_checkpoint
from mlx_magistral.text.tokenizer import load_tokenizer

# Its own prompt has a heading before and other words after the think block; these are ours.
SYSTEM_PROMPT = (
    "# HOW TO THINK\n\nDraft your thoughts first.\n\n"
    "Follow this template:[THINK]Your thoughts, as long as you want.[/THINK]Then answer.\n"
)
IMAGE = {"image_patch_size": 14, "max_image_size": 1540, "spatial_merge_size": 2}
QUESTION = "What is 37 + 48?"
LAYOUTS = ["native", "HF"]


def dress_side_files(folder: Path) -> None:
    tekken = json.loads((nano_folder() / "tekken.json").read_text("utf-8"))
    (folder / "tekken.json").write_text(json.dumps({**tekken, "image": IMAGE}), "utf-8")
    (folder / "SYSTEM_PROMPT.txt").write_text(SYSTEM_PROMPT, "utf-8")


def native_source(folder: Path) -> Path:
    shutil.copytree(nano_folder(), folder)
    edit_json(folder / "params.json", vision_encoder=VISION_ENCODER)
    file = str(folder / "consolidated.safetensors")
    weights = {**mx.load(file), **{name: mx.zeros((8, 8)) for name in NATIVE_VISION}}
    mx.eval(weights)
    mx.save_safetensors(file, weights)
    return folder


def hf_source(folder: Path) -> Path:
    folder.mkdir()
    nano = open_checkpoint(nano_folder())
    weights = {f"language_model.{name}": mx.contiguous(value) for name, value in nano.read_all()}
    weights["vision_tower.patch_conv.weight"] = mx.zeros((8, 8))
    weights["multi_modal_projector.linear_1.weight"] = mx.zeros((8, 8))
    mx.save_safetensors(str(folder / "model.safetensors"), weights)
    config = {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "model_type": "mistral3",
        "image_token_index": 10,
        "projector_hidden_act": "gelu",
        "spatial_merge_size": 2,
        "text_config": nano.config.to_hf(),
        "vision_config": {"model_type": "pixtral", "hidden_size": 1024},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module", params=LAYOUTS)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param) / "source"
    made = native_source(folder) if request.param == "native" else hf_source(folder)
    dress_side_files(made)
    return made


@pytest.fixture(scope="module")
def converted(source: Path) -> Path:
    output = source.parent / "converted"
    arguments = ["convert", str(source), str(output), "--bits", "16", "--quiet"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.stderr
    return output


def test_conversion_holds_the_text_model_alone(converted: Path) -> None:
    checkpoint, nano = open_checkpoint(converted), open_checkpoint(nano_folder())
    assert checkpoint.skipped == () and list(checkpoint.tensors) == list(nano.tensors)
    for name in nano.tensors:
        assert mx.array_equal(checkpoint.read(name), nano.read(name)), name
    config = json.loads((converted / "config.json").read_text())
    assert config["model_type"] == "mistral" and "vision_config" not in config
    assert "vision_encoder" not in json.loads((converted / "params.json").read_text())


def test_its_own_system_prompt_comes_along_byte_for_byte(converted: Path) -> None:
    assert (converted / "SYSTEM_PROMPT.txt").read_text("utf-8") == SYSTEM_PROMPT
    text, _, rest = SYSTEM_PROMPT.partition("[THINK]")
    thinking, _, last = rest.partition("[/THINK]")
    system = {
        "role": "system",
        "content": [
            {"type": "text", "text": text},
            {"type": "thinking", "thinking": thinking, "closed": True},
            {"type": "text", "text": last},
        ],
    }
    user = {"role": "user", "content": QUESTION}
    request: ChatCompletionRequest[Any] = ChatCompletionRequest.from_openai([system, user])
    reference: Any = MistralTokenizer.from_file(converted / "tekken.json")
    expected = reference.encode_chat_completion(request).tokens
    assert load_tokenizer(converted).encode_chat([user]) == expected


def test_source_and_conversion_answer_alike_and_refuse_images(
    source: Path, converted: Path
) -> None:
    replies = [
        Magistral.load(folder).generate(QUESTION, temperature=0) for folder in (source, converted)
    ]
    assert replies[0].content == replies[1].content and "85" in str(replies[0].content)
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(PromptError, match="the model reads text only"):
        load_tokenizer(source).encode_chat([{"role": "user", "content": [picture]}])
