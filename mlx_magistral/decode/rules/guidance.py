"""llguidance (extra ``guidance``): the vocabularies and matchers that grammars need.

Imported when first asked for. No mlx here; what becomes of a mask is grammar.py's business.
"""

from typing import TYPE_CHECKING, NamedTuple

from mlx_magistral.errors import MissingExtraError, UsageError
from mlx_magistral.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_BYTES = 256


class Guidance(NamedTuple):
    """The vocabulary as llguidance wants it, and its first part: control ids and single bytes.

    In a tekken vocabulary byte b is id ``control_count + b``, so an id of ``bytewise`` is the same
    id in ``vocabulary``. Its masks are small, and looking ahead in them is cheap.
    """

    vocabulary: "LLTokenizer"
    bytewise: "LLTokenizer"


class _FirstIds:
    """The control ids and single bytes of a vocabulary, in the form that TokenizerWrapper takes."""

    def __init__(self, tokens: list[bytes], control_count: int, eos_id: int) -> None:
        self.tokens = tokens[: control_count + _BYTES]
        self.special_token_ids = list(range(control_count))
        self.bos_token_id, self.eos_token_id = None, eos_id
        self._control_count = control_count

    def __call__(self, text: bytes) -> list[int]:
        return [self._control_count + byte for byte in text]


def make_guidance(tokenizer: Tokenizer) -> Guidance:
    """A second's work for all of Magistral's vocabulary, so keep it; raises MissingExtraError."""
    try:
        from llguidance import LLTokenizer, TokenizerWrapper
        from mistral_common.guidance.tokenizer import MistralLLGTokenizer
    except ImportError as error:
        raise MissingExtraError("Structured answers", "guidance") from error

    whole = MistralLLGTokenizer(tokenizer.tekkenizer)
    first = _FirstIds(whole.tokens, tokenizer.control_count, tokenizer.eos_id)
    return Guidance(LLTokenizer(TokenizerWrapper(whole)), LLTokenizer(TokenizerWrapper(first)))


def compiles(grammar: str, vocabulary: "LLTokenizer") -> bool:
    """Whether llguidance can hold a text to a grammar."""
    from llguidance import LLMatcher

    return not LLMatcher(vocabulary, grammar, log_level=0).is_error()


def make_matcher(grammar: str, vocabulary: "LLTokenizer") -> "LLMatcher":
    """Compile a grammar; raises UsageError naming the schema feature that is not supported."""
    from llguidance import LLMatcher

    matcher = LLMatcher(vocabulary, grammar, log_level=0)
    if matcher.is_error():
        message = matcher.get_error()
        what = message.partition("failed to compile JSON schema: ")[2] or message
        lines = [line for line in what.split("\n") if "|" not in line and line.strip(" ^")]
        explained = " ".join(" ".join(lines).split()).rstrip(".") or "its parts exclude each other"
        raise UsageError(f"The schema cannot be enforced: {explained}. Leave that part out of it.")
    return matcher
