"""The working folder of a conversion, and the memory that lets a killed one go on.

    OUTPUT.partial/journal/start.json     what is being converted, from what, by which version
    OUTPUT.partial/journal/<shard>.json   one record a finished shard
    OUTPUT.partial/model/                 the files so far; renamed to OUTPUT when complete

A record is written after its shard was flushed, renamed and read back, so a record is a promise;
resuming checks the promise by hashing again.
"""

import errno
import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

from mlx_magistral.errors import ConversionError

from .files import encode_json, write_file
from .manifest import ShardRecord
from .place import PARTIAL_SUFFIX, require_free
from .shards import TEMPORARY_SUFFIX, Fault, hash_shard, sync_folder

_START_FILE = "start.json"


class Journal:
    """Progress of one conversion on disk; hold it open while working, it locks its folder.

    ``identity`` is what must not change between runs: a mapping of part (source, recipe, ...) to
    any JSON value.
    """

    def __init__(self, output: Path, identity: dict[str, Any], fault: Fault) -> None:
        self._output = output
        self._identity = identity
        self._recipe: dict[str, Any] = identity["recipe"]
        self._fault = fault
        self.folder = output.with_name(output.name + PARTIAL_SUFFIX)
        self.model_folder = self.folder / "model"
        self.records_folder = self.folder / "journal"
        self._lock = -1

    def open(self, *, restart: bool) -> bool:
        """Start or take up the work; return whether the output is already complete.

        Raises ConversionError where the output exists, another process is at it, or the work
        begun is of another source or recipe and ``restart`` is not set.
        """
        is_complete = require_free(self._output, self._recipe)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock_folder()
            if is_complete:
                return True
            if restart:
                self._clear()
            begun = self._read_start()
            if begun is None:
                self._clear()
                self.records_folder.mkdir()
                self.model_folder.mkdir()
                write_file(
                    self.records_folder / _START_FILE, encode_json(self._identity), self._fault
                )
            else:
                self._compare(begun)
                # What a killed run was writing would count as used where the disk is looked at.
                for unfinished in self.model_folder.glob(f"*{TEMPORARY_SUFFIX}"):
                    unfinished.unlink()
        except OSError as error:
            raise ConversionError(
                f"{self.folder} cannot be written: {error.strerror}. Choose another output folder."
            ) from error
        return False

    def close(self) -> None:
        """Let go of the folder; a complete output's leftovers are removed."""
        if self._output.exists() and not self.model_folder.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def finished_shard(self, file: str) -> ShardRecord | None:
        """The record of a shard that is complete and still hashes to what was recorded."""
        path = self.records_folder / f"{file}.json"
        if not path.exists() or not (self.model_folder / file).exists():
            return None
        try:
            record = ShardRecord.from_json(json.loads(path.read_bytes()))
            hashes = hash_shard(self.model_folder / file)
        except (ValueError, KeyError, TypeError, ConversionError):
            return None  # damaged since: convert it again
        return record if hashes.sha256 == record.sha256 else None

    def store(self, name: str, value: Any) -> Any:
        """Keep any JSON value for a later run; returns it as ``load`` would."""
        write_file(self.records_folder / name, encode_json(value), self._fault)
        return self.load(name)

    def load(self, name: str) -> Any:
        """A value that was stored; None where there is none."""
        path = self.records_folder / name
        return json.loads(path.read_bytes()) if path.exists() else None

    def record_shard(self, file: str, record: ShardRecord) -> None:
        """Promise that a shard is complete."""
        write_file(self.records_folder / f"{file}.json", encode_json(record.to_json()), self._fault)

    def publish(self) -> None:
        """Give the finished folder its name."""
        for stray in self.model_folder.glob(f"*{TEMPORARY_SUFFIX}"):
            stray.unlink()
        sync_folder(self.model_folder)
        self._fault("output: before rename")
        os.rename(self.model_folder, self._output)
        sync_folder(self._output.parent)
        self._fault("output: renamed")

    def _lock_folder(self) -> None:
        self._lock = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConversionError(
                f"Another process is converting into {self._output}. Wait for it or choose "
                "another output folder."
            ) from error

    def _read_start(self) -> dict[str, Any] | None:
        try:
            begun: dict[str, Any] = json.loads((self.records_folder / _START_FILE).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return begun

    def _compare(self, begun: dict[str, Any]) -> None:
        # Through JSON, because a tuple comes back as a list.
        wanted = json.loads(encode_json(self._identity))
        changed = [part for part in wanted if begun.get(part) != wanted[part]]
        if changed:
            raise ConversionError(
                f"{self.folder} holds an unfinished conversion with another "
                f"{' and another '.join(changed)}. Repeat the command it was begun with, or add "
                "--restart to throw it away."
            )

    def _clear(self) -> None:
        for folder in (self.records_folder, self.model_folder):
            if folder.exists():
                shutil.rmtree(folder)


def disk_error(error: OSError, output: Path) -> ConversionError:
    """What to tell of a disk that failed or is full, and how to go on."""
    if error.errno == errno.ENOSPC:
        what = f"the disk of {output.parent} is full"
    else:
        what = f"{error.filename or output} failed: {error.strerror}"
    return ConversionError(
        f"The conversion stopped: {what}. Finished shards are kept in {output.name}.partial; run "
        "the same command again to go on."
    )
