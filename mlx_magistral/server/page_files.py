"""The chat page at ``/``: files of this package, under a policy that keeps it to this server."""

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from mlx_magistral.terminal.saved_page import FOLDER, template

# MathML sizes its parts by style attributes, hence the one exception.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    # A new version of the program is a new page at the next visit.
    "Cache-Control": "no-cache",
}


class _PageFiles(StaticFiles):
    """Static files under the page's headers."""

    async def get_response(self, path: str, scope: Scope) -> FileResponse:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response  # type: ignore[return-value]


async def _index(request: Request) -> FileResponse:
    return FileResponse(FOLDER / "index.html", headers=_HEADERS)


async def _saved(request: Request) -> Response:
    """What the page makes saved conversations from."""
    return Response(template(), media_type="text/plain; charset=utf-8", headers=_HEADERS)


def page_routes() -> list[BaseRoute]:
    """``/`` and the files it needs under ``/page``."""
    return [
        Route("/", _index),
        Route("/page/saved.html", _saved),
        Mount("/page", _PageFiles(directory=FOLDER)),
    ]
