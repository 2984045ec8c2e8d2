"""The rule for fields that nobody here knows, of request bodies and of messages alike.

Null is as good as absent, everywhere. A field that cannot change what the reply says is left out
and noted. One that would change it and is not honoured is refused by name, unless its value is the
one that changes nothing: SDKs send whole forms, neutral values included. A name that nobody has
heard of bears on the reply where it speaks of sampling or of the answer's form.
"""

import logging
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from mlx_magistral.errors import UnsupportedFieldError

log = logging.getLogger("mlx_magistral.fields")

# Takes the name of each field that was left out.
Note = Callable[[str], None]

# What would change the reply and is not done here, and the values that ask for nothing. False, 0,
# "" and [] ask for nothing either, but where True is what changes nothing.
_REFUSED: dict[str, tuple[Any, ...]] = {
    # What goes into the prompt.
    "audio": (),
    "images": (),
    "documents": (),
    "function_call": ("auto", "none"),
    "functions": (),
    "chat_template": (),
    "conversation": (),
    "previous_response_id": (),
    "prompt": (),
    "prompt_mode": ("reasoning",),
    "safe_prompt": (),
    "suffix": (),
    "truncate_prompt_tokens": (-1,),
    "add_generation_prompt": (True,),
    # Tools of the provider's own.
    "container": (),
    "mcp_servers": (),
    "plugins": (),
    "web_search_options": (),
    # How ids are drawn and where they end.
    "best_of": (1,),
    "ignore_eos": (),
    "length_penalty": (1,),
    "min_tokens": (),
    "min_new_tokens": (),
    "n_probs": (),
    "prompt_logprobs": (),
    "stop_token_ids": (),
    "allowed_token_ids": (),
    "bad_words": (),
    "token_healing": (),
    "top_a": (),
    "top_logprobs": (),
    "top_n_sigma": (-1,),
    "typical_p": (1,),
    "tfs_z": (1,),
    # The form of the reply.
    "background": (),
    "echo": (),
    "format": (),
    "include_reasoning": (True,),
    "include_stop_str_in_output": (),
    "skip_special_tokens": (True,),
    # Of messages: what another role says.
    "content": (),
    "prefix": (),
    "reasoning": (),
    "reasoning_content": (),
    "tool_calls": (),
    "tool_call_id": (),
}
# What one path of the API honours, or another API does, under a name that a second path has not.
_OF_A_REPLY: dict[str, tuple[Any, ...]] = {
    "max_tokens": (-1,),
    "max_completion_tokens": (-1,),
    "max_output_tokens": (-1,),
    "max_new_tokens": (-1,),
    "stop": (),
    "stop_sequences": (),
    "n": (1,),
    "seed": (-1,),
    "top_k": (-1,),
    "min_p": (),
    "logprobs": (),
    "response_format": ({}, {"type": "text"}),
    "output_config": ({},),
    "text": ({}, {"format": {"type": "text"}}),
    "think": (True,),
    "enable_thinking": (True,),
    "thinking": ({},),
    "thinking_budget": (-1,),
    "thinking_token_budget": (-1,),
    "reasoning_effort": (),
    "chat_template_kwargs": ({},),
    "continue_final_message": (),
    "tools": (),
    "tool_choice": ("auto", "none"),
    "parallel_tool_calls": (True,),
    "system": (),
    "system_prompt": (),
    "instructions": (),
    "messages": (),
    "input": (),
}
# Of these, false, 0 and "" ask for something too.
_NEVER_NOTHING = frozenset(
    "seed think enable_thinking thinking_budget thinking_token_budget parallel_tool_calls".split()
)
_BEARS_ON_THE_REPLY = re.compile(
    r"penalt|temperature|logit|_bias|beam|guided_|grammar|regex|schema|structured_|"
    r"structural_|sampler|mirostat|dynatemp|^xtc_|^dry_|^mask",
)


def known_fields(
    given: Mapping[str, Any],
    known: Collection[str],
    note: Note,
    place: str = "",
    *,
    asks_for_a_reply: bool = False,
) -> dict[str, Any]:
    """The fields of an object that are known and not null, in their order.

    ``place`` stands before a name where it is noted or refused (``messages[2].``). With
    ``asks_for_a_reply`` it is a request's body, where another path's words would be missed. Raises
    UnsupportedFieldError.
    """
    refused = _REFUSED | _OF_A_REPLY if asks_for_a_reply else _REFUSED
    kept = {}
    for name, value in given.items():
        if value is None:
            continue
        if name in known:
            kept[name] = value
            continue
        if not _asks_for_nothing(name, value, refused):
            raise UnsupportedFieldError(f"{place}{name}")
        note(f"{place}{name}")
    return kept


def note_in_log(name: str) -> None:
    """Where no response tells what was left out."""
    log.debug("field %s changes nothing here and is left out", name)


def _asks_for_nothing(name: str, value: Any, refused: Mapping[str, tuple[Any, ...]]) -> bool:
    neutral = refused.get(name, ())
    if name not in refused and _BEARS_ON_THE_REPLY.search(name) is None:
        return True
    if name in _NEVER_NOTHING:
        return any(value is each or (value == each and value is not True) for each in neutral)
    is_empty = value in (False, 0, "", []) and neutral != (True,)
    return is_empty or value in neutral
