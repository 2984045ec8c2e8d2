"""Draft models: the same ids as without, and refused where the vocabulary is another."""

import json
import shutil
from pathlib import Path

import pytest

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.sources.kinds import open_source
from mlx_magistral import Magistral
from mlx_magistral.errors import CheckpointError
from mlx_magistral.hub.resolve import nano_folder


@pytest.fixture(scope="module")
def draft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("drafts") / "nano-4"
    convert_checkpoint(open_source(nano_folder()), target, Recipe(4))
    return target


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 0.7, "seed": 3}])
def test_a_draft_changes_no_id(draft: Path, options: dict[str, float]) -> None:
    plain = Magistral.load("nano").generate("What is 345 + 67?", speculate="off", **options)
    drafted = Magistral.load("nano", draft=draft)
    reply = drafted.generate("What is 345 + 67?", speculate=3, **options)
    assert (reply.reasoning, reply.content) == (plain.reasoning, plain.content)
    assert reply.timings.tokens_per_pass > 1.5
    assert reply.timings.acceptance is not None and reply.timings.acceptance > 0.5


def test_its_weights_are_planned_for(draft: Path) -> None:
    alone, beside = Magistral.load("nano"), Magistral.load("nano", draft=draft)
    assert beside.memory.plan.weight_bytes > alone.memory.plan.weight_bytes


def test_another_vocabulary_is_refused(draft: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(draft, other)
    document = json.loads((other / "tekken.json").read_text())
    entries = document["vocab"]
    entries[300]["token_bytes"], entries[301]["token_bytes"] = (
        entries[301]["token_bytes"],
        entries[300]["token_bytes"],
    )
    (other / "tekken.json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="same vocabulary"):
        Magistral.load("nano", draft=other)


def test_a_model_of_mlx_lm_drafts_by_its_tokenizer_json(draft: Path, tmp_path: Path) -> None:
    """A Llama folder, which only mlx-lm loads, with nano's vocabulary as a byte-level BPE."""
    other = tmp_path / "llama"
    shutil.copytree(draft, other)
    (other / "tekken.json").unlink()
    (other / "params.json").unlink()
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"model_type": "llama"}))
    tokenizer = Magistral.load("nano").tokenizer
    letters = _letters()
    vocabulary = {
        "".join(letters[byte] for byte in tokenizer.id_to_bytes(id)): id
        for id in range(tokenizer.control_count, tokenizer.vocab_size)
    }
    (other / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    plain = Magistral.load("nano").generate("What is 37 + 48?", temperature=0, speculate="off")
    reply = Magistral.load("nano", draft=other).generate(
        "What is 37 + 48?", temperature=0, speculate=3
    )
    assert (reply.reasoning, reply.content) == (plain.reasoning, plain.content)
    assert reply.timings.tokens_per_pass > 1.5


def _letters() -> dict[int, str]:
    """transformers' own table of the printable stand-ins for bytes."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    table: dict[int, str] = bytes_to_unicode()
    return table


def test_copied_text_is_drafted_many_ids_at_a_time(endless_model: Path) -> None:
    options = {"temperature": 0, "max_tokens": 300, "on_loop": "off"}
    model = Magistral.load(endless_model)
    plain = model.generate("Again.", speculate="off", **options)
    few, copied = (model.generate("Again.", speculate=each, **options) for each in (7, 47))
    assert (copied.reasoning, copied.content) == (plain.reasoning, plain.content)
    assert copied.timings.tokens_per_pass > few.timings.tokens_per_pass > 1.5


def test_a_qwen2_body_on_tekkens_vocabulary_drafts(tmp_path: Path) -> None:
    """The shape of published drafts for Mistral Small, scaled down, with random weights."""
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.models.qwen2 import Model, ModelArgs

    nano = Magistral.load("nano")
    letters, tokenizer = _letters(), nano.tokenizer
    config = {
        "model_type": "qwen2",
        "hidden_size": 56,
        "num_hidden_layers": 3,
        "intermediate_size": 304,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "vocab_size": tokenizer.vocab_size,
        "rope_theta": 1e6,
        "tie_word_embeddings": True,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    weights = dict(tree_flatten(Model(ModelArgs.from_dict(config)).parameters()))
    mx.save_safetensors(str(tmp_path / "model.safetensors"), weights, {"format": "mlx"})
    ids = range(tokenizer.control_count, tokenizer.vocab_size)
    pieces = {id: "".join(letters[byte] for byte in tokenizer.id_to_bytes(id)) for id in ids}
    vocabulary = {piece: id for id, piece in pieces.items()}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    for options in ({"temperature": 0}, {"temperature": 0.7, "seed": 3}):
        plain = nano.generate("What is 37 + 48?", speculate="off", **options)
        reply = Magistral.load("nano", draft=tmp_path).generate(
            "What is 37 + 48?", speculate=3, **options
        )
        assert (reply.reasoning, reply.content) == (plain.reasoning, plain.content)
        assert reply.timings.guesses > 0
