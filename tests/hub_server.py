"""A hub on the loopback interface: enough of its HTTP protocol for the real client to download."""

import contextlib
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from hub_uploads import Uploads

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubServer:
    """Serves ``repositories`` (id -> folder). ``requests`` lists "METHOD path" as they came.

    ``listed`` are those that a search finds, with their tags and downloads.

    A repository listed in ``refused`` answers with that status and X-Error-Code instead. Weights
    are in LFS: their address redirects to /cdn/. ``cuts`` are byte counts after which the next
    answers from there break off; ``damaged`` sends other bytes than were announced. Answers
    longer than ``hold_after`` bytes wait there until ``release`` is set. ``weight_bytes`` counts
    what was sent of weights, headers included.
    """

    def __init__(self, repositories: dict[str, Path]) -> None:
        self.repositories = repositories
        self.refused: dict[str, tuple[int, str]] = {}
        self.listed: dict[str, tuple[set[str], int]] = {}
        self.requests: list[str] = []
        self.uploads = Uploads()
        self.places: dict[str, Path] = {}
        self.bytes_by_range = 0
        self.weight_bytes = 0
        self.cuts: list[int] = []
        self.damaged = False
        self.also_large: set[str] = set()
        self.hold_after: int | None = None
        self.release = threading.Event()
        self.leaked_token = False
        self.retry_after: str | None = None
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))

    def __enter__(self) -> "HubServer":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def is_large(self, file: Path) -> bool:
        """Whether a file is in LFS; the real tekken.json is, with 19 MB."""
        return file.suffix == ".safetensors" or file.name in self.also_large

    def downloads(self) -> set[str]:
        """The names of the files whose content was asked for."""
        gets = [line for line in self.requests if line.startswith("GET") and "/resolve/" in line]
        return {line.rsplit("/", 1)[1] for line in gets}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                self._answer(is_head=True)

            def do_GET(self) -> None:
                self._answer(is_head=False)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.split("?")[0]
                hub.requests.append(f"POST {path}")
                if hub.refused:
                    status, code = next(iter(hub.refused.values()))
                    self._send(status, b"", {"X-Error-Code": code})
                    return
                self._send_json(hub.uploads.answer(path, body, hub.endpoint))

            def do_PUT(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                hub.uploads.objects[self.path.rsplit("/", 1)[1]] = data
                self._send(200, b"", {})

            def log_message(self, *arguments: object) -> None:
                pass

            def _answer(self, is_head: bool) -> None:
                path = self.path.split("?")[0]
                hub.requests.append(f"{self.command} {path}")
                if path.startswith("/cdn/") and "Authorization" in self.headers:
                    hub.leaked_token = True
                if path == "/api/models":
                    self._send_json(_search(hub, parse_qs(self.path.partition("?")[2])))
                    return
                # Models, and data sets beside them.
                kind = re.compile(r"^(/api/models|/api/datasets|/datasets)(?=/)")
                parts = kind.sub("", path).strip("/").split("/")
                name = "/".join(parts[:2])
                if path.startswith("/cdn/"):
                    self._send_from_cdn(path.removeprefix("/cdn/"), is_head)
                elif name in hub.refused:
                    status, code = hub.refused[name]
                    headers = {"Retry-After": hub.retry_after} if hub.retry_after else {}
                    self._send(status, b"", {"X-Error-Code": code, **headers})
                elif name not in hub.repositories:
                    self._send(401, b"", {"X-Error-Code": "RepoNotFound"})
                elif path.startswith("/api/"):
                    self._send_json(_describe(hub, hub.repositories[name], name, parts[2:]))
                else:
                    # OWNER/NAME/resolve/COMMIT/FILE
                    self._send_file(hub.repositories[name].joinpath(*parts[4:]), is_head)

            def _send_json(self, value: Any) -> None:
                self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

            def _send_file(self, file: Path, is_head: bool) -> None:
                if not file.is_file():
                    self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
                    return
                data = file.read_bytes()
                headers = {"ETag": f'"{_blob_id(data)}"', "X-Repo-Commit": COMMIT}
                if hub.is_large(file):
                    headers["X-Linked-Size"] = str(len(data))
                    headers["X-Linked-Etag"] = f'"{_sha256(data)}"'
                    place = f"{file.parent.name}/{file.name}"
                    hub.places[place] = file
                    # Another host, as the real one: a relative address would be followed by HEAD.
                    cdn = hub.endpoint.replace("127.0.0.1", "localhost")
                    headers["Location"] = f"{cdn}/cdn/{place}"
                    self._send(302, b"", headers, is_head)
                    return
                self._send_data(data, headers, is_head)

            def _send_from_cdn(self, place: str, is_head: bool) -> None:
                data = hub.places[place].read_bytes()
                if hub.damaged:
                    data = data[:-1] + bytes([data[-1] ^ 1])
                self._send_data(data, {"ETag": '"of-the-cdn"'}, is_head)

            def _send_data(self, data: bytes, headers: dict[str, str], is_head: bool) -> None:
                wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                if wanted is None:
                    self._send(200, data, headers, is_head)
                    return
                first, last = int(wanted[1]), min(int(wanted[2] or len(data)), len(data) - 1)
                hub.bytes_by_range += last + 1 - first
                headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
                self._send(206, data[first : last + 1], headers, is_head)

            def _send(
                self, status: int, data: bytes, headers: dict[str, str], is_head: bool = False
            ) -> None:
                self.send_response(status)
                for key, value in headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if is_head:
                    return
                if self.path.startswith("/cdn/"):
                    hub.weight_bytes += len(data)
                if hub.cuts and self.path.startswith("/cdn/"):
                    self.wfile.write(data[: hub.cuts.pop(0)])
                    self.close_connection = True
                    return
                hold = hub.hold_after
                if hold is not None and self.path.startswith("/cdn/") and len(data) > hold:
                    self.wfile.write(data[:hold])
                    hub.release.wait(60)
                    data = data[hold:]
                with contextlib.suppress(ConnectionError):  # the client was stopped
                    self.wfile.write(data)

        return Handler


def _search(hub: HubServer, query: dict[str, list[str]]) -> list[dict[str, Any]]:
    """By tags, all of which must be there; in the order of ``listed``, up to the limit."""
    wanted = set(query.get("filter", []))
    found = [
        {"_id": name, "id": name, "modelId": name, "tags": sorted(tags), "downloads": downloads}
        for name, (tags, downloads) in hub.listed.items()
        if wanted <= tags
    ]
    if query.get("sort") == ["downloads"]:
        found.sort(key=lambda each: -each["downloads"])
    return found[: int(query.get("limit", ["1000"])[0])]


def _describe(hub: HubServer, folder: Path, name: str, rest: list[str]) -> Any:
    files = {
        file.relative_to(folder).as_posix(): _metadata(file, is_large=hub.is_large(file))
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    if rest and rest[0] == "tree":
        return [
            {"type": "file", "path": name, "oid": each.pop("blobId"), **each}
            for name, each in files.items()
        ]
    siblings = [{"rfilename": name, **each} for name, each in files.items()]
    return {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings, "tags": []}


def _metadata(file: Path, *, is_large: bool) -> dict[str, Any]:
    data = file.read_bytes()
    metadata: dict[str, Any] = {"size": len(data), "blobId": _blob_id(data)}
    if is_large:
        sha256 = _sha256(data)
        # The two answers of the hub name the hash differently; its client reads either.
        lfs = {"size": len(data), "sha256": sha256, "oid": sha256, "pointerSize": 130}
        metadata["lfs"] = lfs
    return metadata


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _blob_id(data: bytes) -> str:
    """As git names a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
