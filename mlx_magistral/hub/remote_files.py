"""A model that is still at the hub, seen as its files: headers by range requests, 0.1 MB each."""

import fnmatch
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlx_magistral.errors import CheckpointError
from mlx_magistral.hub.download import silent_bar
from mlx_magistral.hub.errors import clear_hub_errors
from mlx_magistral.hub.repository import TIMEOUT_S, RemoteFile, Repository
from mlx_magistral.model.safetensors_header import (
    HEADER_GUESS_BYTES,
    StoredTensor,
    header_bytes,
    parse_header,
)

_AT_ONCE = 8


class RemoteFiles:
    """ModelFiles of a repository: ``read`` fetches a small file into the cache, once."""

    def __init__(self, repository: Repository) -> None:
        self.folder = repository.snapshot
        self.label = repository.name
        self._repository = repository
        self._files = {file.name: file for file in repository.files}
        self._headers: dict[str, dict[str, StoredTensor]] = {}

    def weights(self, stem: str) -> list[str]:
        """See ModelFiles."""
        return sorted(
            name
            for name in self._files
            if "/" not in name and fnmatch.fnmatchcase(name, f"{stem}*.safetensors")
        )

    def has(self, name: str) -> bool:
        """See ModelFiles."""
        return name in self._files

    def read(self, name: str) -> Path:
        """See ModelFiles. Raises HubError."""
        from huggingface_hub import hf_hub_download

        repository = self._repository
        with clear_hub_errors(repository.name):
            return Path(
                hf_hub_download(
                    repository.name, name, revision=repository.commit, tqdm_class=silent_bar()
                )
            )

    def header(self, name: str) -> dict[str, StoredTensor]:
        """See ModelFiles. The first call fetches those of all files of the same stem."""
        if name not in self._headers:
            stem = name.split("-")[0].split(".")[0]
            missing = {name, *self.weights(stem)} - self._headers.keys()
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                found = pool.map(self._fetch_header, sorted(missing))
                self._headers.update(zip(sorted(missing), found, strict=True))
        return self._headers[name]

    def _fetch_header(self, name: str) -> dict[str, StoredTensor]:
        file, place = self._files[name], self.folder / name
        start = self._first_bytes(file, HEADER_GUESS_BYTES)
        try:
            length = header_bytes(start, file.nbytes, place)
            if length > len(start):
                start = self._first_bytes(file, length)
            return parse_header(start[:length], file.nbytes, place)
        except CheckpointError as error:
            reason = str(error).replace(str(place), f"{self.label}/{name}")
            reason = reason.removesuffix(" Fetch the file again.")
            raise CheckpointError(f"{reason} It is published so: choose another model.") from error

    def _first_bytes(self, file: RemoteFile, count: int) -> bytes:
        """The first bytes of a file, and no more where the server sends all of it."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils._headers import build_hf_headers
        from huggingface_hub.utils._http import get_session, hf_raise_for_status

        url = hf_hub_url(self.label, file.name, revision=self._repository.commit)
        headers = {**build_hf_headers(), "Range": f"bytes=0-{count - 1}"}
        data = bytearray()
        with (
            clear_hub_errors(self.label),
            get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_S) as response,
        ):
            hf_raise_for_status(response)
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) >= count:
                    break
        return bytes(data[:count])
