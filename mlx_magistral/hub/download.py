"""Fetch what a repository must give, file by file: resumed after a cut, checked by hash.

The hub's client drops what has arrived of a file when the program ends, and a weight file has
gigabytes. So large files are fetched here, through the client's own HTTP, into ``HASH.incomplete``
beside the cache's blobs; the client then finds them whole and lays out the snapshot.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.errors import HubError
from mlx_magistral.hub.cache import cache_folder, repository_folder
from mlx_magistral.hub.errors import clear_hub_errors
from mlx_magistral.hub.files import files_to_download

# Called with a file's name, the bytes of it that are here, and its size.
OnProgress = Callable[[str, int, int], None]

# Seconds until an answer must have begun; the client's own default is none.
_TIMEOUT_S = 8.0
_READ_BYTES = 1 << 22


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository; ``sha256`` is None where it is small and kept in git."""

    name: str
    nbytes: int
    sha256: str | None


@dataclass(frozen=True)
class Repository:
    """The files that are wanted of a repository, at one commit."""

    name: str
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all wanted files."""
        return sum(file.nbytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """Bytes that are not on this disk yet, those of begun files taken off."""
        return sum(file.nbytes - _present_bytes(self.name, file) for file in self.files)


def inspect_repository(repository: str) -> Repository:
    """Ask the hub once for names, sizes and hashes. Raises HubError or ModelNotFoundError."""
    from huggingface_hub import HfApi

    with clear_hub_errors(repository):
        info = HfApi().model_info(repository, files_metadata=True, timeout=_TIMEOUT_S)
    siblings = {each.rfilename: each for each in info.siblings or []}
    files = []
    for name in files_to_download(list(siblings)):
        each = siblings[name]
        sha256 = each.lfs.sha256 if each.lfs is not None else None
        files.append(RemoteFile(name, each.size or 0, sha256))
    return Repository(repository, info.sha or "main", tuple(files))


def download(repository: Repository, on_progress: OnProgress | None = None) -> Path:
    """Fetch what is missing and return the snapshot's folder.

    The small files come first, and the folder with them: half a download then has a name and an
    architecture. Raises HubError; what has arrived is kept, and the next call goes on from there.
    """
    report = on_progress or (lambda name, done, total: None)
    small = [file for file in repository.files if not file.name.endswith(".safetensors")]
    with clear_hub_errors(repository.name):
        _fetch_all(repository, small, report)
        return _fetch_all(repository, repository.files, report)


def _fetch_all(repository: Repository, files: Sequence[RemoteFile], report: OnProgress) -> Path:
    """Fetch files and lay them out as a snapshot; files that are here cost nothing."""
    from huggingface_hub import snapshot_download

    for file in files:
        if file.sha256 is not None:
            _fetch(repository, file, file.sha256, report)
    return Path(
        snapshot_download(
            repository.name,
            allow_patterns=[file.name for file in files],
            tqdm_class=silent_bar(),
        )
    )


def _fetch(repository: Repository, file: RemoteFile, sha256: str, report: OnProgress) -> None:
    from huggingface_hub.utils._fixes import WeakFileLock

    blob = _blob(repository.name, sha256)
    lock = cache_folder() / ".locks" / blob.parent.parent.name / f"{sha256}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    blob.parent.mkdir(parents=True, exist_ok=True)
    # Another process may be fetching the same file: wait for it, then find it done.
    with WeakFileLock(lock):
        if not blob.exists():
            partial = _partial(blob)
            here = partial.stat().st_size if partial.exists() else 0
            report(file.name, min(here, file.nbytes - 1), file.nbytes)
            _receive(repository, file, partial, report)
            _check(partial, file, sha256)
            partial.replace(blob)
    report(file.name, file.nbytes, file.nbytes)


def _receive(repository: Repository, file: RemoteFile, partial: Path, report: OnProgress) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils._headers import build_hf_headers

    url = hf_hub_url(repository.name, file.name, revision=repository.commit)
    while (start := partial.stat().st_size if partial.exists() else 0) < file.nbytes:

        def moved(nbytes: int, start: int = start) -> None:
            # Whole is what has been checked, and that is said later.
            report(file.name, min(start + nbytes, file.nbytes - 1), file.nbytes)

        try:
            with partial.open("ab") as stream:
                http_get(
                    url,
                    stream,
                    resume_size=start,
                    headers=build_hf_headers(),
                    expected_size=file.nbytes,
                    tqdm_class=silent_bar(moved),
                )
        except HfHubHTTPError:
            raise
        except HTTPError:
            # A cut: go on as long as every try brings something.
            if partial.stat().st_size <= start:
                raise


def _check(partial: Path, file: RemoteFile, sha256: str) -> None:
    digest = hashlib.sha256()
    with partial.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    if digest.hexdigest() != sha256:
        partial.unlink()
        raise HubError(
            f"{file.name} arrived damaged: its SHA-256 is {digest.hexdigest()[:12]}…, not "
            f"{sha256[:12]}…, and it was removed. Run the same command again."
        )


def silent_bar(on_moved: Callable[[int], None] = lambda total: None) -> type[Any]:
    """The client's progress bar, which shows nothing and tells the bytes moved so far."""
    from huggingface_hub.utils.tqdm import tqdm

    class SilentBar(tqdm):
        def __init__(self, *args: Any, **keywords: Any) -> None:
            super().__init__(*args, **{**keywords, "disable": True})  # type: ignore[no-untyped-call]
            self.moved = 0

        def update(self, n: float | None = 1) -> None:
            self.moved += int(n or 0)
            on_moved(self.moved)

    return SilentBar


def _present_bytes(repository: str, file: RemoteFile) -> int:
    if file.sha256 is None:
        return 0
    blob = _blob(repository, file.sha256)
    if blob.exists():
        return file.nbytes
    partial = _partial(blob)
    return min(partial.stat().st_size, file.nbytes) if partial.exists() else 0


def _blob(repository: str, sha256: str) -> Path:
    return repository_folder(repository) / "blobs" / sha256


def _partial(blob: Path) -> Path:
    return blob.with_name(f"{blob.name}.incomplete")
