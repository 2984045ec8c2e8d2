"""What tests of grammars share: nano's vocabulary, for mistral-common and for llguidance."""

import pytest

from mlx_magistral.decode.rules.guidance import Guidance, make_guidance
from mlx_magistral.hub.resolve import nano_folder
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return load_tokenizer(nano_folder())


@pytest.fixture(scope="session")
def guidance(tokenizer: Tokenizer) -> Guidance:
    return make_guidance(tokenizer)
