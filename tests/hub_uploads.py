"""The receiving half of the loopback hub: repositories made, LFS objects and commits taken."""

import base64
import json
from typing import Any


class Uploads:
    """``files`` maps path to bytes as committed; an LFS object must have been sent before."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.objects: dict[str, bytes] = {}
        self.files: dict[str, bytes] = {}

    def answer(self, path: str, body: bytes, endpoint: str) -> Any:
        if path == "/api/repos/create":
            self.created.append(json.loads(body))
            made = self.created[-1]
            return {"url": f"{endpoint}/{made.get('organization') or 'me'}/{made['name']}"}
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        if "/preupload/" in path:
            return {"files": [_mode(each["path"]) for each in json.loads(body)["files"]]}
        if path.endswith("/info/lfs/objects/batch"):
            return {
                "objects": [self._place(each, endpoint) for each in json.loads(body)["objects"]]
            }
        if "/commit/" in path:
            self._commit(body)
            return {"success": True, "commitOid": "c" * 40, "commitUrl": f"{endpoint}/a/b/commit/c"}
        return {}

    def _place(self, wanted: dict[str, Any], endpoint: str) -> dict[str, Any]:
        if wanted["oid"] in self.objects:
            return wanted
        return {**wanted, "actions": {"upload": {"href": f"{endpoint}/lfs/{wanted['oid']}"}}}

    def _commit(self, body: bytes) -> None:
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.files[value["path"]] = self.objects[value["oid"]]


def _mode(path: str) -> dict[str, Any]:
    mode = "lfs" if path.endswith((".safetensors", "tekken.json")) else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False}
