"""Fetch what a repository must give, file by file: resumed after a cut, checked by hash.

The hub's client drops what has arrived of a file when the program ends, and a weight file has
gigabytes. So large files are fetched here, through the client's own HTTP, into ``HASH.incomplete``
beside the cache's blobs, and laid out as the client does: as a link in the snapshot, or moved there
where the disk has no links.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlx_magistral.errors import HubError
from mlx_magistral.hub.cache import cache_folder
from mlx_magistral.hub.damage import sha256_of
from mlx_magistral.hub.errors import clear_hub_errors
from mlx_magistral.hub.repository import RemoteFile, Repository

# Called with a file's name, the bytes of it that are here, and its size.
OnProgress = Callable[[str, int, int], None]


def download(repository: Repository, on_progress: OnProgress | None = None) -> Path:
    """Fetch what is missing and return the snapshot's folder.

    The small files come first, and the folder with them: half a download then has a name and an
    architecture. Raises HubError; what has arrived is kept, and the next call goes on from there.
    """
    report = on_progress or (lambda name, done, total: None)
    with clear_hub_errors(repository.name):
        _lay_out(repository.only(f.name for f in repository.files if f.sha256 is None))
        for file in sorted(repository.files, key=lambda file: file.name.endswith(".safetensors")):
            if file.sha256 is not None:
                _fetch(repository, file, file.sha256, report)
        return _lay_out(repository)


def forget(repository: Repository, names: list[str]) -> None:
    """Take files that are not as published out of the cache, so that ``download`` fetches them.

    The beginning of one that was cut is kept: it need not arrive again.
    """
    for file in repository.only(names).files:
        place = repository.place(file)
        held = repository.blob(file) if place.is_symlink() else place
        if held.is_file() and file.blob is not None and held.stat().st_size < file.nbytes:
            partial = repository.partial(file)
            partial.parent.mkdir(parents=True, exist_ok=True)
            held.replace(partial)
        held.unlink(missing_ok=True)
        place.unlink(missing_ok=True)


def _lay_out(repository: Repository) -> Path:
    """Let the client fetch small files and record the commit; large ones are in their places."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.file_download import _cache_commit_hash_for_specific_revision

    if repository.files:
        snapshot_download(
            repository.name,
            repo_type=repository.kind,
            revision=repository.commit,
            allow_patterns=[file.name for file in repository.files],
            tqdm_class=silent_bar(),
        )
        _cache_commit_hash_for_specific_revision(str(repository.folder), "main", repository.commit)
    return repository.snapshot


def _fetch(repository: Repository, file: RemoteFile, sha256: str, report: OnProgress) -> None:
    from huggingface_hub.utils._fixes import WeakFileLock

    blob, place = repository.blob(file), repository.place(file)
    lock = cache_folder() / ".locks" / blob.parent.parent.name / f"{sha256}.lock"
    for needed in (lock, blob, place):
        needed.parent.mkdir(parents=True, exist_ok=True)
    # Another process may be fetching the same file: wait for it, then find it done.
    with WeakFileLock(lock):
        if not repository.is_here(file):
            partial = repository.partial(file)
            blob.unlink(missing_ok=True)  # of a wrong size
            was_begun = partial.exists()
            _receive(repository, file, partial, report)
            if was_begun and sha256_of(partial) != sha256:
                # What was here of it may have been damaged: from the start, once.
                partial.unlink()
                _receive(repository, file, partial, report)
            _check(partial, file, sha256)
            partial.replace(blob)
        if blob.exists():
            _place(blob, place)
    report(file.name, file.nbytes, file.nbytes)


def _place(blob: Path, place: Path) -> None:
    """A blob into the snapshot: by a link, or where there are none by moving it."""
    from huggingface_hub.file_download import _create_symlink

    if place.is_symlink() and place.exists():
        return
    _create_symlink(str(blob), str(place), new_blob=True)


def _receive(repository: Repository, file: RemoteFile, partial: Path, report: OnProgress) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils._headers import build_hf_headers

    url = hf_hub_url(
        repository.name, file.name, repo_type=repository.kind, revision=repository.commit
    )
    here = partial.stat().st_size if partial.exists() else 0
    report(file.name, min(here, file.nbytes - 1), file.nbytes)
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
    found = sha256_of(partial)
    if found != sha256:
        partial.unlink()
        raise HubError(
            f"{file.name} arrived damaged: its SHA-256 is {found[:12]}…, not "
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
