"""The hub's cache on this disk: where a repository is, how much of it, and which commit.

Read from the cache's own files: importing the hub's client takes longer than a short reply.
"""

import re
from pathlib import Path

from mlx_magistral.hub.files import SIDE_FILES, has_all_weights

_TOKENIZER = "tekken.json"
_SNAPSHOT = re.compile(r"/models--(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})$")


def cache_folder() -> Path:
    """Where the hub's client keeps models."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def repository_folder(repository: str) -> Path:
    """Where the cache keeps a repository, whether it is there or not."""
    return cache_folder() / f"models--{repository.replace('/', '--')}"


def find_snapshot(repository: str) -> Path | None:
    """The folder of the last known commit, if all its weights are here."""
    cached = repository_folder(repository)
    try:
        commit = (cached / "refs" / "main").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    snapshot = cached / "snapshots" / commit
    if not commit or not has_all_weights(snapshot):
        return None
    if (snapshot / _TOKENIZER).is_file() or _is_all_there_is(repository):
        return snapshot
    return None


def _is_all_there_is(repository: str) -> bool:
    """Whether the small files are here that the client knows of: it remembers the listing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        snapshot_download(repository, local_files_only=True, allow_patterns=list(SIDE_FILES))
    except LocalEntryNotFoundError:
        return False
    return True


def is_begun(repository: str) -> bool:
    """Whether the cache holds something of a repository, if not all."""
    return (repository_folder(repository) / "blobs").is_dir()


def hub_origin(folder: Path) -> dict[str, str]:
    """The ``repository`` and ``commit`` that a folder of the cache is; nothing for another one."""
    found = _SNAPSHOT.search(folder.absolute().as_posix())
    if found is None:
        return {}
    return {"repository": found["name"].replace("--", "/", 1), "commit": found["commit"]}
