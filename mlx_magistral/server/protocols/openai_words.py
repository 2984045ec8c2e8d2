"""A reply's end, its counts and its logprobs as all of OpenAI's protocols write them."""

from collections.abc import Sequence
from typing import Any

from mlx_magistral.events import Finished, FinishReason, TokenLogprob, Usage


def finish_reason(event: Finished) -> str:
    """In OpenAI's words: what was cut short, by whatever, ended by length."""
    if event.reason in (FinishReason.STOP, FinishReason.TOOL_CALLS):
        return event.reason.value
    return "length"


def invalid_body(event: Finished) -> dict[str, str]:
    """What of the answer breaks its schema, as a field of ours; nothing where it does not."""
    return {} if event.invalid is None else {"validation_error": event.invalid}


def usage_body(usages: Sequence[Usage]) -> dict[str, Any]:
    """Token counts of the replies to one prompt."""
    prompt = usages[0].prompt_tokens if usages else 0
    completion = sum(usage.completion_tokens for usage in usages)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": usages[0].cached_tokens if usages else 0},
        "completion_tokens_details": {
            "reasoning_tokens": sum(usage.reasoning_tokens for usage in usages)
        },
    }


def logprob_body(found: TokenLogprob) -> dict[str, Any]:
    """One id as OpenAI writes it, its likeliest rivals included."""
    return {**_one(found), "top_logprobs": [_one(rival) for rival in found.top]}


def _one(found: TokenLogprob) -> dict[str, Any]:
    return {
        "token": found.bytes.decode("utf-8", "replace"),
        "logprob": max(found.logprob, -9999.0),
        "bytes": list(found.bytes),
    }
