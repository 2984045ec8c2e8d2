"""Which tools may be called, of those that are offered: OpenAI's and Mistral's words for it."""

from typing import Any

from mlx_magistral.server.api_errors import ApiError

Tools = list[dict[str, Any]]

# As a text, or as the type of an object (Anthropic's way); "any" is Mistral's and Anthropic's word.
_WORDS = {"auto": "auto", "none": "none", "required": "required", "any": "required"}
_NAMING = ("function", "custom", "tool")


def choose(tools: Tools | None, choice: str | dict[str, Any] | None) -> tuple[Tools | None, str]:
    """The tools to offer, in the chat's shape, and ``auto``, ``none``, ``required`` or a name.

    ``allowed_tools`` leaves only those that it lists. Raises ApiError.
    """
    tools = tools or None
    if choice is None:
        return tools, "auto"
    kind = choice if isinstance(choice, str) else choice.get("type")
    if kind in _WORDS:
        return tools, _WORDS[kind]
    if isinstance(choice, str):
        raise _wrong()
    if kind == "allowed_tools":
        return _allowed(tools, choice.get("allowed_tools", choice))
    name = _name(choice)
    if kind not in _NAMING or name is None:
        raise _wrong()
    return tools, name


def _allowed(tools: Tools | None, allowed: Any) -> tuple[Tools | None, str]:
    listed = allowed.get("tools") if isinstance(allowed, dict) else None
    if not isinstance(listed, list) or allowed.get("mode", "auto") not in ("auto", "required"):
        raise _wrong()
    names = {_name(each) for each in listed if isinstance(each, dict)}
    kept = [tool for tool in tools or () if _name(tool) in names]
    return kept or None, allowed.get("mode", "auto")


def _name(tool: dict[str, Any]) -> str | None:
    inner = tool.get("function", tool)
    name = inner.get("name") if isinstance(inner, dict) else None
    return name if isinstance(name, str) and name else None


def _wrong() -> ApiError:
    return ApiError(
        400,
        "Field 'tool_choice' must be auto, none, required, any, a function by name or a list of "
        "allowed tools.",
        "invalid_value",
        "tool_choice",
    )
