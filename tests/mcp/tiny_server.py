"""A server on stdin and stdout, made with the SDK: sums, and all that can go wrong."""

import os
import time

from mcp.server.mcpserver import MCPServer
from mcp_types import ContentBlock, ImageContent, TextContent

app = MCPServer("tiny", log_level="ERROR")


@app.tool()
def calculator(expression: str) -> str:
    """Calculate an arithmetic expression."""
    left, right = expression.split("*")
    return str(int(left) * int(right))


@app.tool(name="odd.name")
def odd() -> dict[str, str]:
    """What the environment says."""
    return {"GREETING": os.environ.get("GREETING", "")}


@app.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("no such thing")


@app.tool()
def sleep(seconds: float) -> str:
    """Take a while."""
    time.sleep(seconds)
    return "awake"


@app.tool()
def repeat(text: str, count: int) -> str:
    """Say it again."""
    return text * count


@app.tool()
def picture() -> list[ContentBlock]:
    """A picture and a text."""
    image = ImageContent(type="image", data="aGk=", mime_type="image/png")
    return [image, TextContent(type="text", text="of a cat")]


@app.tool()
def die() -> str:
    """End the server."""
    os._exit(3)


app.run()
