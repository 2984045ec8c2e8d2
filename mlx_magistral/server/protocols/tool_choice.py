"""Which tools may be called, of those that are offered: OpenAI's and Mistral's words for it."""

from typing import Any

from mlx_magistral.server.api_errors import ApiError

Tools = list[dict[str, Any]]


def choose(tools: Tools | None, choice: str | dict[str, Any] | None) -> tuple[Tools | None, str]:
    """The tools to offer, in the chat's shape, and ``auto``, ``none``, ``required`` or a name.

    ``allowed_tools`` leaves only those that it lists. Raises ApiError.
    """
    tools = tools or None
    if choice is None:
        return tools, "auto"
    if isinstance(choice, str):
        if choice in ("auto", "none", "required"):
            return tools, choice
        if choice == "any":  # Mistral's word
            return tools, "required"
        raise _wrong()
    if choice.get("type") == "allowed_tools":
        return _allowed(tools, choice.get("allowed_tools", choice))
    name = _name(choice)
    if choice.get("type") not in ("function", "custom") or name is None:
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
