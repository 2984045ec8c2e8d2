"""A repository at the hub at one commit: which files it has, and what of them is on this disk."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from mlx_magistral.hub.cache import repository_folder
from mlx_magistral.hub.errors import clear_hub_errors

# Seconds until an answer must have begun; the client's own default is none.
TIMEOUT_S = 8.0


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository; ``sha256`` is None where it is small and kept in git."""

    name: str
    nbytes: int
    sha256: str | None
    git_id: str | None = None

    @property
    def blob(self) -> str | None:
        """The name of its blob in the hub's cache, which is a hash of its content."""
        return self.sha256 or self.git_id


@dataclass(frozen=True)
class Repository:
    """Files of a repository, all or those that are wanted, at one commit.

    ``kind`` is the hub's: ``model`` or ``dataset``.
    """

    name: str
    commit: str
    files: tuple[RemoteFile, ...]
    kind: str = "model"

    @property
    def folder(self) -> Path:
        """Its place in the hub's cache, which need not be there."""
        return repository_folder(self.name, self.kind)

    @property
    def snapshot(self) -> Path:
        """The folder of this commit in the hub's cache, which need not be there."""
        return self.folder / "snapshots" / self.commit

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(file.nbytes for file in self.files)

    @property
    def missing_bytes(self) -> int:
        """Bytes that are not on this disk yet, those of begun files taken off."""
        return sum(file.nbytes - self.present_bytes(file) for file in self.files)

    def only(self, names: Iterable[str]) -> "Repository":
        """The same with these files alone."""
        wanted = set(names)
        return replace(self, files=tuple(file for file in self.files if file.name in wanted))

    def place(self, file: RemoteFile) -> Path:
        """Where a file is in the snapshot: a link to its blob, or the file itself."""
        return self.snapshot.joinpath(*file.name.split("/"))

    def blob(self, file: RemoteFile) -> Path:
        """Where the cache keeps a file's content."""
        assert file.blob is not None
        return self.folder / "blobs" / file.blob

    def partial(self, file: RemoteFile) -> Path:
        """Where a file is while it arrives."""
        blob = self.blob(file)
        return blob.with_name(f"{blob.name}.incomplete")

    def is_here(self, file: RemoteFile) -> bool:
        """Whether a file of the right size is in the snapshot, or waits among the blobs."""
        return self.present_bytes(file) == file.nbytes

    def present_bytes(self, file: RemoteFile) -> int:
        """How much of a file is on this disk; of one that has a wrong size, nothing."""
        if file.blob is None:
            return file.nbytes if _size(self.place(file)) == file.nbytes else 0
        if file.nbytes in (_size(self.place(file)), _size(self.blob(file))):
            return file.nbytes
        # Never the whole: what is whole has been checked and has its own name.
        return min(_size(self.partial(file)) or 0, max(0, file.nbytes - 1))


def inspect_repository(
    repository: str, commit: str | None = None, kind: str = "model"
) -> Repository:
    """Ask the hub once for names, sizes and hashes. Raises HubError or ModelNotFoundError."""
    from huggingface_hub import HfApi

    api = HfApi()
    ask = api.dataset_info if kind == "dataset" else api.model_info
    with clear_hub_errors(repository):
        info = ask(repository, revision=commit, files_metadata=True, timeout=TIMEOUT_S)
    files = [
        RemoteFile(
            each.rfilename,
            each.size or 0,
            each.lfs.sha256 if each.lfs is not None else None,
            each.blob_id,
        )
        for each in info.siblings or []
    ]
    return Repository(repository, info.sha or "main", tuple(files), kind)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
