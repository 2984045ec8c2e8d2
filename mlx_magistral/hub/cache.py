"""The hub's cache on this disk: where a repository is, how much of it, and which commit.

Read from the cache's own files: importing the hub's client takes longer than a short reply.
"""

import json
import os
import re
from pathlib import Path

from mlx_magistral.hub.files import SIDE_FILES, WEIGHT_FORMATS, has_all_weights

_TOKENIZER = "tekken.json"
_MODEL_TYPES = ("mistral", "mistral3")
_SNAPSHOT = re.compile(r"/models--(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})$")
_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def cache_folder() -> Path:
    """Where the hub's client keeps models."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def repository_folder(repository: str, kind: str = "model") -> Path:
    """Where the cache keeps a repository of this kind, whether it is there or not."""
    return cache_folder() / f"{kind}s--{repository.replace('/', '--')}"


def cached_models() -> list[tuple[str, Path]]:
    """Name and snapshot of the Mistrals of which weights are here, whole or not, by name."""
    found = []
    for repository in sorted(cache_folder().glob("models--*--*")):
        name = repository.name.removeprefix("models--").replace("--", "/", 1)
        snapshot = snapshot_of(name)
        if snapshot is not None and _is_mistral(snapshot) and is_begun(name):
            found.append((name, snapshot))
    return found


def snapshot_of(repository: str, kind: str = "model") -> Path | None:
    """The folder of the last known commit, whole or not; the newest where none is named.

    A cache that was copied, or filled by commit, has no refs/main.
    """
    cached = repository_folder(repository, kind)
    try:
        commit = (cached / "refs" / "main").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        commit = ""
    snapshot = cached / "snapshots" / commit
    if commit and snapshot.is_dir():
        return snapshot
    others = [each for each in (cached / "snapshots").glob("*") if each.is_dir()]
    return max(others, key=lambda each: each.stat().st_mtime, default=None)


def find_snapshot(repository: str) -> Path | None:
    """The folder of the last known commit, if all its weights are here."""
    snapshot = snapshot_of(repository)
    if snapshot is None or not has_all_weights(snapshot):
        return None
    if (snapshot / _TOKENIZER).is_file() or _is_all_there_is(repository, snapshot):
        return snapshot
    return None


def _is_all_there_is(repository: str, snapshot: Path) -> bool:
    """Whether the small files are here that the client knows of: it remembers the listing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        snapshot_download(
            repository,
            revision=snapshot.name,
            local_files_only=True,
            allow_patterns=list(SIDE_FILES),
        )
    except LocalEntryNotFoundError:
        return False
    return True


def is_begun(repository: str) -> bool:
    """Whether the cache holds weights of a repository, if not all: its small files tell nothing."""
    if any((repository_folder(repository) / "blobs").glob("*.incomplete")):
        return True
    snapshot = snapshot_of(repository)
    patterns = [pattern for pattern, _ in WEIGHT_FORMATS]
    return snapshot is not None and any(
        any(file.is_file() for file in snapshot.glob(pattern)) for pattern in patterns
    )


def blob_name(file: Path) -> str | None:
    """The blob that a file of a snapshot is a link to; None for a file of its own.

    Blobs are named by a hash of their content: SHA-256, or git's of a small file.
    """
    try:
        target = Path(os.readlink(file))
    except OSError:
        return None
    is_blob = target.parent.name == "blobs" and _BLOB.fullmatch(target.name)
    return target.name if is_blob else None


def hub_origin(folder: Path) -> dict[str, str]:
    """The ``repository`` and ``commit`` that a folder of the cache is; nothing for another one."""
    found = _SNAPSHOT.search(folder.absolute().as_posix())
    if found is None:
        return {}
    return {"repository": found["name"].replace("--", "/", 1), "commit": found["commit"]}


def _is_mistral(snapshot: Path) -> bool:
    if (snapshot / "params.json").is_file():
        return True
    try:
        content = json.loads((snapshot / "config.json").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("model_type") in _MODEL_TYPES
