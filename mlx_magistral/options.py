"""Whether the values of options are what they have to be; a wrong one is named, before any work."""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path

from mlx_magistral.errors import PromptError, UsageError


def require_number(name: str, value: object) -> None:
    """Raise UsageError for what is no finite number; True and "0.7" are none."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise UsageError(f"{name} must be a number, not {value!r}.")


def require_whole(name: str, value: object) -> None:
    """Raise UsageError for what is no whole number; 2.5, 2.0 and "2" are none."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"{name} must be a whole number, not {value!r}.")


def require_text(name: str, value: object) -> None:
    """Raise UsageError for what is no text."""
    if not isinstance(value, str):
        raise UsageError(f"{name} must be a text, not {value!r}.")


def require_switch(name: str, value: object) -> None:
    """Raise UsageError for what is neither True nor False; 1 and "yes" are neither."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} must be True or False, not {value!r}.")


def require_path(name: str, value: object) -> None:
    """Raise UsageError for what can name no file; None is one that was not given."""
    if value is not None and not isinstance(value, str | Path):
        raise UsageError(f"{name} must be a text or a Path, not {value!r}.")


def require_call(name: str, value: object) -> None:
    """Raise UsageError for what cannot be called; None is nothing to call."""
    if value is not None and not callable(value):
        raise UsageError(f"{name} must be a function, not {value!r}.")


def require_list(name: str, value: object) -> None:
    """Raise UsageError for what is no list, a text included; a tuple is one."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise UsageError(f"{name} must be a list, not {value!r}.")


def require_messages(messages: object) -> None:
    """Raise PromptError for what is no list of messages."""
    if isinstance(messages, Mapping | bytes) or not isinstance(messages, Sequence):
        raise PromptError(
            f"Messages must be a text or a list of messages, not {type(messages).__name__}."
        )
