"""pydantic classes as schemas: a class to its JSON schema, an answer to its instance.

pydantic is imported by whoever made the class, and here only where there is one.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

from mlx_magistral.errors import UsageError
from mlx_magistral.events import FinishReason, ParsedReply, Reply

if TYPE_CHECKING:
    from pydantic import BaseModel

Parsed = TypeVar("Parsed", bound="BaseModel")
Schema = Mapping[str, Any] | type["BaseModel"]


def json_schema(schema: object) -> object:
    """The JSON schema of a pydantic class; anything else as it is. Raises UsageError."""
    if not _is_class(schema):
        return schema
    from pydantic.errors import PydanticUserError

    try:
        return schema.model_json_schema()  # type: ignore[attr-defined]
    except PydanticUserError as error:  # a field that no JSON can hold
        said = str(error).partition("\n")[0]
        raise UsageError(f"schema: {_name(schema)} has no JSON schema: {said}") from error


def with_parsed(reply: Reply, schema: object) -> Reply:
    """The reply with the answer as an instance, where a class was given and the answer is whole.

    An answer that the class refuses, a validator of its own perhaps, is ``invalid``.
    """
    if not _is_class(schema):
        return reply
    values = {each.name: getattr(reply, each.name) for each in fields(reply)}
    made: ParsedReply[Any] = ParsedReply(**values)
    if reply.content is None or reply.finish_reason is not FinishReason.STOP:
        return made
    from pydantic import ValidationError

    try:
        return replace(made, parsed=schema.model_validate_json(reply.content))  # type: ignore[attr-defined]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        said = f"{place}: {first['msg']}" if place else first["msg"]
        return replace(made, invalid=made.invalid or f"{_name(schema)} refuses it: {said}.")


def _is_class(schema: object) -> bool:
    return isinstance(schema, type) and hasattr(schema, "model_json_schema")


def _name(schema: object) -> str:
    return str(getattr(schema, "__name__", schema))
