"""What comes out runs elsewhere: mlx-lm and PEFT give the logits that we do."""

from pathlib import Path

import mlx.core as mx
import pytest
from mlx.nn.layers.quantized import quantize
from model.builders import SMALL, write_hf
from training_models import trained_model

from mlx_magistral.errors import AdapterError
from mlx_magistral.model.adapters.placing import place_adapter
from mlx_magistral.model.adapters.reading import read_adapter
from mlx_magistral.model.weights import load_model
from mlx_magistral.train.adapter_folder import Base, write_adapter, write_peft
from mlx_magistral.train.gradients import trainable
from mlx_magistral.train.options import Method, TrainOptions

TOKENS = [[5, 9, 2, 77, 31, 8, 1]]


@pytest.fixture(params=[Method.LORA, Method.DORA, "last layer"])
def options(request: pytest.FixtureRequest) -> TrainOptions:
    if request.param == "last layer":
        return TrainOptions(rank=4, alpha=8.0, num_layers=1)
    return TrainOptions(rank=4, alpha=8.0, method=request.param)


@pytest.fixture
def folder(tmp_path: Path, options: TrainOptions) -> Path:
    """A trained adapter, and its base in ``base``."""
    write_hf(tmp_path / "base")
    model = trained_model(options)
    write_adapter(tmp_path / "adapter", trainable(model), options, Base("base", "f" * 64, 2))
    return tmp_path / "adapter"


def ours(base: Path, adapter: Path) -> mx.array:
    model = load_model(base).model
    plain = model(mx.array(TOKENS))
    place_adapter(model, read_adapter(adapter))
    logits = model(mx.array(TOKENS))
    assert mx.abs(logits - plain).max() > 0.01
    return logits


def test_it_serves_what_was_trained(folder: Path, options: TrainOptions) -> None:
    trained = trained_model(options)(mx.array(TOKENS))
    assert mx.abs(ours(folder.parent / "base", folder) - trained).max() <= 1e-5


def test_mlx_lm_gives_equal_logits(folder: Path) -> None:
    tuner = pytest.importorskip("mlx_lm.tuner.utils", reason="mlx-lm is in the dev extra")
    utils = pytest.importorskip("mlx_lm.utils", reason="mlx-lm is in the dev extra")
    mx.disable_compile()
    theirs = utils.load_model(folder.parent / "base")[0]
    tuner.load_adapters(theirs, str(folder))
    theirs.eval()
    logits = theirs(mx.array(TOKENS))
    mx.enable_compile()
    assert mx.abs(ours(folder.parent / "base", folder) - logits).max() <= 2e-5


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_peft_gives_equal_logits(folder: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is in the dev extra")
    peft = pytest.importorskip("peft", reason="peft is in the dev extra")
    transformers = pytest.importorskip("transformers", reason="transformers is in the dev extra")
    write_peft(folder, folder / "peft")
    model = transformers.MistralForCausalLM.from_pretrained(
        folder.parent / "base", dtype=torch.float32, attn_implementation="eager"
    )
    adapted = peft.PeftModel.from_pretrained(model, folder / "peft").eval()
    with torch.no_grad():
        theirs = mx.array(adapted(torch.tensor(TOKENS)).logits.numpy())
    assert mx.abs(ours(folder.parent / "base", folder) - theirs).max() <= 1e-4
    # And back: what PEFT's form says is read as the same.
    assert mx.abs(ours(folder.parent / "base", folder / "peft") - theirs).max() <= 1e-4


def test_weights_trained_in_full_serve_and_refuse_a_quantized_base(tmp_path: Path) -> None:
    options = TrainOptions(method=Method.FULL, num_layers=1)
    base = write_hf(tmp_path / "base")
    weights = trainable(trained_model(options))
    assert all(name.startswith("model.layers.1.") for name in weights)
    moved = {name: each + 0.05 for name, each in weights.items()}
    write_adapter(tmp_path / "adapter", moved, options, Base("base", "f" * 64, SMALL.n_layers))
    ours(base, tmp_path / "adapter")
    quantized = load_model(base).model
    quantize(quantized, group_size=32, bits=4)
    with pytest.raises(AdapterError, match=r"holds whole weights, and .* is quantized here"):
        place_adapter(quantized, read_adapter(tmp_path / "adapter"))
