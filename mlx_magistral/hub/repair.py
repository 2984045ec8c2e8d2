"""A downloaded model that is not as the hub has it: what is wrong is taken out, to be fetched."""

from pathlib import Path

from mlx_magistral.hub.cache import blob_name, hub_origin
from mlx_magistral.hub.damage import damaged_files, differing_files
from mlx_magistral.hub.download import forget
from mlx_magistral.hub.repository import Repository, inspect_repository


def take_out_damage(snapshot: Path, *, has_hashes: bool) -> Repository | None:
    """Take what is damaged out of a snapshot; the files to download for it to be whole again.

    Sizes are always looked at, every byte with ``has_hashes``. None where all is well, or the
    folder is none of the hub's cache. The network is asked where something is wrong, or where a
    disk without links has no hashes to go by. Raises HubError.
    """
    origin = hub_origin(snapshot)
    if not origin:
        return None
    damaged = damaged_files(snapshot, has_hashes=has_hashes)
    present = [path for path in snapshot.rglob("*") if path.is_symlink() or path.is_file()]
    has_names = all(blob_name(path) is not None for path in present)
    if not damaged and (has_names or not has_hashes):
        return None
    names = {path.relative_to(snapshot).as_posix() for path in present}
    repository = inspect_repository(origin["repository"], origin["commit"]).only(names)
    damaged = sorted({*damaged, *differing_files(repository, has_hashes=has_hashes)})
    if not damaged:
        return None
    forget(repository, damaged)
    return repository
