"""Streamed text is the whole text, wherever the ids split it."""

import random

import pytest

from mlx_magistral.text.decoder import TextDecoder
from mlx_magistral.text.tokenizer import Tokenizer


def streamed(tokenizer: Tokenizer, tokens: list[int]) -> list[str]:
    decoder = TextDecoder(tokenizer)
    return [*(decoder.feed(token) for token in tokens), decoder.flush()]


def byte_tokens(tokenizer: Tokenizer, data: bytes) -> list[int]:
    """One id a byte: the finest split there is."""
    first = next(token for token in range(2048) if not tokenizer.is_control(token))
    return [first + byte for byte in data]


@pytest.mark.parametrize(("character", "silent"), [("é", 1), ("€", 2), ("👍", 3)])
def test_a_split_character_comes_with_its_last_byte(
    tokenizer: Tokenizer, character: str, silent: int
) -> None:
    pieces = streamed(tokenizer, byte_tokens(tokenizer, character.encode()))
    assert pieces == [*[""] * silent, character, ""]


def test_an_unfinished_character_is_replaced_at_the_end(tokenizer: Tokenizer) -> None:
    assert streamed(tokenizer, byte_tokens(tokenizer, b"a\xe2\x82")) == ["a", "", "", "\ufffd"]


def test_a_control_id_ends_an_unfinished_character(tokenizer: Tokenizer) -> None:
    first, second = byte_tokens(tokenizer, "é".encode())
    assert streamed(tokenizer, [first, 35, second]) == ["", "\ufffd", "\ufffd", ""]


def test_flush_leaves_the_decoder_ready(tokenizer: Tokenizer) -> None:
    decoder = TextDecoder(tokenizer)
    decoder.feed(byte_tokens(tokenizer, b"\xe2")[0])
    assert (decoder.flush(), decoder.flush()) == ("\ufffd", "")
    assert "".join(decoder.feed(token) for token in byte_tokens(tokenizer, "é".encode())) == "é"


def test_streamed_is_whole_for_any_ids(tokenizer: Tokenizer, full_tokenizer: Tokenizer) -> None:
    generator = random.Random(7)
    for each in (tokenizer, full_tokenizer):
        for _ in range(300):
            tokens = generator.choices(range(each.vocab_size), k=generator.randrange(40))
            tokens += byte_tokens(tokenizer, generator.randbytes(20))
            tokens.insert(generator.randrange(len(tokens)), 34)
            assert "".join(streamed(each, tokens)) == each.decode(tokens)
