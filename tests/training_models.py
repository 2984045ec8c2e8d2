"""Small models with adapters of random content, and random examples, to train on."""

from pathlib import Path
from random import Random

import mlx.core as mx
from model.builders import SMALL, random_weights

from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.train.dataset import Dataset, make_dataset
from mlx_magistral.train.example import Example, packed
from mlx_magistral.train.method import prepare
from mlx_magistral.train.options import Method, TrainOptions

HEAD = [7, 3, 9, 1, 4]


def trained_model(
    options: TrainOptions | None = None, config: ModelConfig = SMALL, *, is_moved: bool = True
) -> Transformer:
    """A float model that is ready to train; ``is_moved`` gives its adapter something to say."""
    options = options or TrainOptions(rank=4, alpha=8.0)
    model = Transformer(config)
    model.load_weights(list(random_weights(config).items()))
    prepare(model, options)
    if is_moved and options.method is not Method.FULL:
        key = mx.random.key(2)
        for layer in model.layers:
            for _, module in layer.named_modules():
                if "lora_b" in module:
                    key, own = mx.random.split(key)
                    module.lora_b = 0.1 * mx.random.normal(module.lora_b.shape, key=own)
    return model


def example(random: Random, length: int, *, head: list[int] | None = None) -> Example:
    """Random ids of SMALL's vocabulary with two stretches that are learned."""
    begun = head or []
    first = random.randrange(1, length - 4) + len(begun)
    tokens = [*begun, *(random.randrange(SMALL.vocab_size) for _ in range(length))]
    return Example(packed(tokens), ((first, first + 2), (first + 3, len(tokens))), f"x:{length}")


def examples(count: int, seed: int = 0) -> list[Example]:
    """Of 6 to 20 ids."""
    random = Random(seed)
    return [example(random, random.randint(6, 20)) for _ in range(count)]


def dataset(count: int = 12, valid: int = 3, max_tokens: int = 64) -> Dataset:
    """Examples to train and to validate on."""
    return make_dataset(examples(count), examples(valid, 1), max_tokens=max_tokens, seed=0)


def adapter_bytes(folder: Path) -> bytes:
    """What the adapter's file holds."""
    return (folder / "adapters.safetensors").read_bytes()
