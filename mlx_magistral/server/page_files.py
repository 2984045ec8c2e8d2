"""The chat page at ``/``: files of this package, under a policy that keeps it to this server."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

FOLDER = Path(__file__).parent / "page"

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


def page_routes() -> list[BaseRoute]:
    """``/`` and the files it needs under ``/page``."""
    return [Route("/", _index), Mount("/page", _PageFiles(directory=FOLDER))]
