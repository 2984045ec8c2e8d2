"""The official system prompt, and how the caller's own system text joins it."""

from typing import Any

import pytest
from mistral_common.protocol.instruct.request import ChatCompletionRequest

from mlx_magistral.errors import TokenizerError
from mlx_magistral.text.prompt import PromptPart, card_prompt, parse_system_prompt
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer

QUESTION = {"role": "user", "content": "What is 37 + 48?"}


def layout(tokenizer: Tokenizer, tokens: list[int]) -> str:
    """Ids to read: control ids by name, the rest as text. Never to be encoded again."""
    names = {tokenizer.control_id(name): name for name in CONTROLS}
    return "".join(
        names[token] if tokenizer.is_control(token) else tokenizer.decode([token])
        for token in tokens
    )


CONTROLS = "<s> </s> [INST] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [THINK] [/THINK]".split()


def system(*contents: Any) -> list[dict[str, Any]]:
    return [*({"role": "system", "content": content} for content in contents), QUESTION]


def test_without_a_file_the_model_card_speaks(tokenizer: Tokenizer) -> None:
    prompt = tokenizer.system_prompt
    assert [part.is_thinking for part in prompt.parts] == [False, True, False]
    assert sum(len(part.text.encode()) for part in prompt.parts) == 554 - len("[THINK][/THINK]")
    assert prompt.text.startswith("First draft your thinking process (inner monologue)")
    assert "template below:[THINK]Your thoughts or/and draft" in prompt.text
    assert prompt.text.endswith("as the input.[/THINK]Here, provide a self-contained response.")


def test_the_folders_file_is_split_at_its_markers(make_folder: Any) -> None:
    tokenizer = load_tokenizer(make_folder(system_prompt="Be é.\n [THINK] hm[/THINK]\nNow.\n"))
    assert tokenizer.system_prompt.parts == (
        PromptPart("Be é.\n ", False),
        PromptPart(" hm", True),
        PromptPart("\nNow.\n", False),
    )
    expected = (
        "<s>[SYSTEM_PROMPT]Be é.\n [THINK] hm[/THINK]\nNow.\n[/SYSTEM_PROMPT]"
        "[INST]What is 37 + 48?[/INST]"
    )
    tokens = tokenizer.encode_chat([QUESTION])
    # é is two ids here, so the letters are compared as bytes.
    assert layout(tokenizer, tokens).replace("��", "é") == expected
    assert [token for token in tokens if tokenizer.is_control(token)] == [1, 17, 34, 35, 18, 3, 4]


@pytest.mark.parametrize(
    "text", ["\n[THINK]a[/THINK] ", "a[THINK][/THINK]b[THINK]c[/THINK]", "plain"]
)
def test_parsing_loses_nothing(text: str) -> None:
    assert parse_system_prompt(text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "a[THINK]b",
        "a[/THINK]b",
        "a[/THINK]b[THINK]c",
        "[THINK][THINK]a[/THINK]",
        "[THINK]a[/THINK]b[/THINK]",
    ],
)
def test_markers_that_do_not_pair(make_folder: Any, text: str) -> None:
    with pytest.raises(TokenizerError, match=r"SYSTEM_PROMPT.txt: .* do not pair"):
        load_tokenizer(make_folder(system_prompt=text))


@pytest.mark.parametrize(
    ("content", "complaint"), [(b"\xff\xfea", "is not UTF-8"), (b" \n", "is empty")]
)
def test_unusable_files(make_folder: Any, content: bytes, complaint: str) -> None:
    with pytest.raises(TokenizerError, match=rf"SYSTEM_PROMPT.txt {complaint}"):
        load_tokenizer(make_folder(system_prompt=content))


def test_own_system_text_comes_after_two_newlines(tokenizer: Tokenizer) -> None:
    official = tokenizer.system_prompt.text
    ending = "[/SYSTEM_PROMPT][INST]What is 37 + 48?[/INST]"
    for contents, added in [
        ((), ""),
        (("",), ""),
        (("Be brief.",), "\n\nBe brief."),
        (("Be brief.", "Be kind."), "\n\nBe brief.\n\nBe kind."),
        (([{"type": "text", "text": "Be brief."}],), "\n\nBe brief."),
    ]:
        tokens = tokenizer.encode_chat(system(*contents))
        assert layout(tokenizer, tokens) == f"<s>[SYSTEM_PROMPT]{official}{added}{ending}"


def test_raw_system_adds_nothing(tokenizer: Tokenizer) -> None:
    ending = "[INST]What is 37 + 48?[/INST]"
    for contents, expected in [
        ((), ""),
        (("Be brief.",), "[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT]"),
        (("a", "b"), "[SYSTEM_PROMPT]a[/SYSTEM_PROMPT][SYSTEM_PROMPT]b[/SYSTEM_PROMPT]"),
    ]:
        tokens = tokenizer.encode_chat(system(*contents), raw_system=True)
        assert layout(tokenizer, tokens) == f"<s>{expected}{ending}"


def card_parts(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """The system message of the model card's snippets."""
    return [
        {"type": "thinking", "thinking": part.text, "closed": True}
        if part.is_thinking
        else {"type": "text", "text": part.text}
        for part in tokenizer.system_prompt.parts
    ]


def test_a_template_of_the_callers_own_is_sent_as_given(
    tokenizer: Tokenizer, reference: Any
) -> None:
    own = [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": "b"}]
    for parts in (card_parts(tokenizer), own):
        given = system(parts)
        request: ChatCompletionRequest[Any] = ChatCompletionRequest.from_openai(given)
        want = reference.encode_chat_completion(request).tokens
        assert tokenizer.encode_chat(given) == want
        assert tokenizer.encode_chat(given, raw_system=True) == want
    both = layout(tokenizer, tokenizer.encode_chat(system(own, "c")))
    assert (
        both == "<s>[SYSTEM_PROMPT]a[THINK]b[/THINK]c[/SYSTEM_PROMPT][INST]What is 37 + 48?[/INST]"
    )


def test_the_official_prompt_as_a_text_is_the_official_prompt(tokenizer: Tokenizer) -> None:
    parts = [part.text for part in tokenizer.system_prompt.parts]
    whole = tokenizer.system_prompt.text
    plain = tokenizer.encode_chat([QUESTION])
    for text in (
        whole,
        f"\n {whole} \n\n",
        "".join(parts),
        "\n".join(parts),
        whole.replace("[THINK]", "\n[THINK]\n").replace("[/THINK]", "\n[/THINK]\n\n"),
        " ".join(whole.split()),
    ):
        assert tokenizer.encode_chat(system(text)) == plain, text
        added = tokenizer.encode_chat(system("Be brief."))
        assert tokenizer.encode_chat(system(f"{text}\n\nBe brief.")) == added
        assert tokenizer.encode_chat(system(f"{text}Be brief.")) == added
        assert tokenizer.encode_chat(system(text, "Be brief.")) == added
        assert tokenizer.encode_chat(system("Be brief.", text)) == added
    split = [{"type": "text", "text": text} for text in parts]
    assert tokenizer.encode_chat(system(split)) == plain


def test_what_is_like_the_official_prompt_joins_it(tokenizer: Tokenizer) -> None:
    whole = tokenizer.system_prompt.text
    for text in (whole[:-1], whole[1:], f"Be brief.\n\n{whole}", whole.lower()):
        read = layout(tokenizer, tokenizer.encode_chat(system(text)))
        assert read.startswith(f"<s>[SYSTEM_PROMPT]{whole}\n\n{text}[/SYSTEM_PROMPT]"), text


def test_the_cards_prompt_is_known_beside_the_folders_own(make_folder: Any) -> None:
    tokenizer = load_tokenizer(make_folder(system_prompt="Own.[THINK]hm[/THINK]Now."))
    card = card_prompt().text
    for text in (card, "Own.[THINK]hm[/THINK]Now."):
        read = layout(tokenizer, tokenizer.encode_chat(system(text)))
        assert read == f"<s>[SYSTEM_PROMPT]{text}[/SYSTEM_PROMPT][INST]What is 37 + 48?[/INST]"


def test_developer_is_another_word_for_system(tokenizer: Tokenizer) -> None:
    messages = [{"role": "developer", "content": "Be brief."}, QUESTION]
    assert tokenizer.encode_chat(messages) == tokenizer.encode_chat(system("Be brief."))


@pytest.mark.parametrize("raw_system", [False, True])
def test_think_prefixes(tokenizer: Tokenizer, raw_system: bool) -> None:
    plain = tokenizer.encode_chat([QUESTION], raw_system=raw_system)
    force = tokenizer.encode_chat([QUESTION], raw_system=raw_system, thinking="force")
    skip = tokenizer.encode_chat([QUESTION], raw_system=raw_system, thinking="skip")
    assert force == [*plain, 34]
    assert skip == [*plain, 34, 35]
