"""Patterns of JSON Schema: what the grammar lets through, every checker takes."""

import json
import re

import jsonschema_rs
import pytest

from mlx_magistral.decode.rules.grammar import answer_grammar
from mlx_magistral.decode.rules.guidance import Guidance, make_matcher
from mlx_magistral.decode.rules.patterns import ecma_pattern
from mlx_magistral.decode.rules.schema import grammar_schema
from mlx_magistral.errors import UsageError
from mlx_magistral.text.tokenizer import Tokenizer

# One of each kind that some dialect takes for a digit, a letter, a space, a line end or a sign.
CHARACTERS = [
    *(chr(code) for code in range(0x20, 0x7F)),
    *"\t\n\v\f\r\x00\x08\x1c\x1f\x85\xa0\xad",
    *"é٣०²Ⅷ½ßſK\u0301\u1680\u180e\u2000\u2007\u200a\u200b\u200d\u2028\u2029\u202f\u203f",
    *"\u205f\u2060\u3000\u3042\u4e2d\ufeff\uff10\uff3f\U0001f600\U0001d7d8",
]
CLASSES = [r"\d", r"\D", r"\w", r"\W", r"\s", r"\S", "."]
PATTERNS = [
    *(f"^{each}$" for each in CLASSES),
    *(f"^[{each}]$" for each in CLASSES[:-1]),
    *(f"^[^{each}]$" for each in CLASSES[:-1]),
    r"^[\d\W]$",
    r"^[^\d\W]$",
    r"^[^\S\t]$",
    r"^[\w.-]$",
    r"^[+--]$",
    r"^[a[&~]$",
    r"^[a&&b]$",
    r"^[^a-z\]\\^-]$",
    r"^[\^\-\/\.]$",
    r"^(\.|\/|\$|\*)$",
    r"^[\x41\u0042\u00e9]$",
    r"^\u4e2d$",
    r"^[\t-\r]$",
    r"^(?:a|(?<name>b)|\t|\n|\cI)$",
    r"^[\f\v]$",
    r"^[^\\]$",
    r'^[^"\d]$',
    r"^[\x00-\x5b]$",
    r"^[éあ]$",
]


BACKSLASH_PATTERNS = [
    r"^C:\\[a-z]+$",
    r"^\\b[0-9]$",
    r"^\$\\boxed\{[0-9]{1,3}\}\$$",
    r"^\x5c[\\/]$",
    r"^x\\\\u$",
    r"^\\$",
]
BACKSLASH_TEXTS = [
    *("\\", "C:\\", "C:\\b", "C:\\dir", "C:\x08", "\\b", "\\b1", "\x081", "\x01b1", "\\\\", "\\/"),
    *("$\\boxed{85}$", "$\\boxed{", "$\\boxed", "$\x08oxed{85}$", "x\\\\u", "x\\u", "x\\\\"),
]


def taken(
    tokenizer: Tokenizer, guidance: Guidance, pattern: str, texts: list[str] = CHARACTERS
) -> list[str]:
    """The texts that are an answer under a pattern."""
    schema = {"type": "string", "pattern": pattern}
    matcher = make_matcher(answer_grammar(tokenizer, schema=schema), guidance.bytewise)
    found = []
    for character in texts:
        ids = [tokenizer.control_count + byte for byte in spelled(character)]
        copy = matcher.deep_copy()
        if copy.try_consume_tokens(ids) == len(ids) and copy.is_accepting():
            found.append(character)
    return found


def spelled(character: str) -> bytes:
    return json.dumps(character, ensure_ascii=False).encode()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_is_let_through_is_valid(
    tokenizer: Tokenizer, guidance: Guidance, pattern: str
) -> None:
    validator = jsonschema_rs.Draft202012Validator({"type": "string", "pattern": pattern})
    found = taken(tokenizer, guidance, pattern)
    assert found
    for character in found:
        assert validator.is_valid(character), f"{character!r} under {pattern}"
        if r"\c" not in pattern and "(?<" not in pattern:  # Python knows neither
            assert re.search(pattern, character), f"{character!r} under {pattern}"
    # And of ASCII, where dialects agree, nothing is lost: JSON spells control characters its way.
    for character in CHARACTERS[:95]:
        assert (character in found) == validator.is_valid(character), f"{character!r}"


@pytest.mark.parametrize("pattern", BACKSLASH_PATTERNS)
def test_after_a_backslash_the_rest_of_a_pattern_holds(
    tokenizer: Tokenizer, guidance: Guidance, pattern: str
) -> None:
    validator = jsonschema_rs.Draft202012Validator({"type": "string", "pattern": pattern})
    valid = [text for text in BACKSLASH_TEXTS if validator.is_valid(text)]
    assert valid and taken(tokenizer, guidance, pattern, BACKSLASH_TEXTS) == valid


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        (r"^\h$", r"the escape \\h"),
        (r"\A5\z", r"the escape \\A"),
        ("(?i)yes", "flags in a group"),
        ("[]", "an empty class"),
        ("[a", "not closed"),
        (r"[\w-z]", "a range with a class"),
        (r"\ud83d", "half a character"),
    ],
)
def test_what_cannot_be_translated_is_refused_by_name(pattern: str, what: str) -> None:
    for schema in ({"pattern": pattern}, {"patternProperties": {pattern: {}}}):
        with pytest.raises(UsageError, match=what):
            grammar_schema(schema)
    assert "pattern" not in json.loads(grammar_schema({"pattern": pattern}, is_lenient=True))


@pytest.mark.parametrize("pattern", [r"a\b", r"(a)\1", "(?=a)b", "(?<!a)b", r"(?<n>a)\k<n>"])
def test_what_llguidance_refuses_is_refused(
    tokenizer: Tokenizer, guidance: Guidance, pattern: str
) -> None:
    with pytest.raises(UsageError, match="look|backreference|escape"):
        taken(tokenizer, guidance, pattern)


def test_pairs_of_surrogates_are_one_character() -> None:
    assert ecma_pattern(r"\ud83d\ude00\u{1F600}") == r"\x{1f600}\x{1f600}"
