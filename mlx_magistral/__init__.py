"""Run Mistral's reasoning model on a Mac. Importing this package imports no mlx, no tokenizer."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

# pyproject's requires-python. An older one cannot read the modules below, so it is told here: no
# traceback, whether this is a command or an import.
OLDEST_PYTHON = (3, 11)
if sys.version_info < OLDEST_PYTHON:  # this file itself stays readable for old ones
    sys.exit(
        f"error: mlx-magistral needs Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer, and "
        f"{sys.executable} is {sys.version_info[0]}.{sys.version_info[1]}. Install a newer one, "
        "from python.org or by `brew install python`, and make a new virtual environment with it."
    )

from mlx_magistral.version import __version__  # noqa: E402

if TYPE_CHECKING:
    from mlx_magistral.engine.magistral import Magistral
    from mlx_magistral.engine.reply_options import ReplyOptions
    from mlx_magistral.events import Reply
    from mlx_magistral.mcp.servers import McpServers
    from mlx_magistral.model.weights import load_model
    from mlx_magistral.text.reasoning import ReasoningParser
    from mlx_magistral.text.tokenizer import load_tokenizer

# Public name -> the module it lives in, imported when the name is first used.
_HOMES = {
    "Magistral": "mlx_magistral.engine.magistral",
    "McpServers": "mlx_magistral.mcp.servers",
    "Reply": "mlx_magistral.events",
    "ReplyOptions": "mlx_magistral.engine.reply_options",
    "load_model": "mlx_magistral.model.weights",
    "load_tokenizer": "mlx_magistral.text.tokenizer",
    "ReasoningParser": "mlx_magistral.text.reasoning",
}

__all__ = [
    "Magistral",
    "McpServers",
    "Reply",
    "ReplyOptions",
    "ReasoningParser",
    "__version__",
    "load_model",
    "load_tokenizer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlx_magistral' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
