"""The finished answer against its schema: for what no grammar could hold it to.

A grammar that is lenient leaves look-around, different items, unknown formats and the like to the
model. Whether it kept to them is said at the end, by jsonschema. No mlx.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlx_magistral.events import ContentDelta, Event, ToolCallDelta
from mlx_magistral.text.json_schema import modern_schema

_LONGEST_TEXT = 300
# A pattern of nested repetitions may take longer than the world lasts.
_PATTERN_S = 0.3


class AnswerCheck:
    """Takes a reply's events; ``problem`` says at the end what of it breaks its schema.

    ``schema`` is that of the answer, ``functions`` are OpenAI functions that may be called.
    """

    def __init__(
        self, schema: Mapping[str, Any] | None, functions: Sequence[Mapping[str, Any]]
    ) -> None:
        self._schema = schema
        self._parameters = {each["name"]: each.get("parameters") or {} for each in functions}
        self._content: list[str] = []
        self._calls: list[tuple[str, list[str]]] = []

    def feed(self, event: Event) -> None:
        """Take an event of the reply."""
        if isinstance(event, ContentDelta) and self._schema is not None:
            self._content.append(event.text)
        elif isinstance(event, ToolCallDelta):
            if event.index == len(self._calls):
                self._calls.append((event.name or "", []))
            self._calls[event.index][1].append(event.arguments)

    def problem(self) -> str | None:
        """The first thing that is wrong, on one line; None for an answer that is right."""
        for name, pieces in self._calls:
            found = _problem("".join(pieces), self._parameters.get(name, {}))
            if found is not None:
                return f"The call of {name} breaks its parameters: {found}."
        if self._schema is None or self._calls:
            return None
        found = _problem("".join(self._content), self._schema)
        return None if found is None else f"The answer breaks its schema: {found}."


def _problem(text: str, schema: Mapping[str, Any]) -> str | None:
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import extend
    from referencing.exceptions import Unresolvable

    try:
        value = json.loads(text)
    except ValueError:
        return "it is no JSON"
    validator = extend(Draft202012Validator, {"pattern": _check_pattern})(
        modern_schema(schema), format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    try:
        error = next(iter(validator.iter_errors(value)), None)
    except (SchemaError, Unresolvable, re.error, RecursionError, TypeError, ValueError):
        return None  # a schema that nobody can check by
    if error is None:
        return None
    place = ".".join(map(str, error.absolute_path))
    said = " ".join(error.message.split())[:_LONGEST_TEXT].rstrip(".")
    return f"{place}: {said}" if place else said


def _check_pattern(validator: Any, pattern: Any, value: Any, schema: Any) -> Iterator[Exception]:
    r"""As jsonschema's, in a dialect that has \p{L} and (?<name>…) too.

    A pattern that nobody can read asks for nothing: the rest of the schema is checked all the same.
    """
    import regex
    from jsonschema import ValidationError

    if not isinstance(value, str):
        return
    try:
        is_found = regex.search(pattern, value, timeout=_PATTERN_S) is not None
    except (regex.error, TypeError, TimeoutError):
        return
    if not is_found:
        yield ValidationError(f"{value!r} does not match {pattern!r}")
