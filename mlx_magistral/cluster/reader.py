"""LedReader: a model that rank 0's engine loads as any other, of which it holds a share."""

import weakref
from pathlib import Path

from mlx_magistral.cluster.building import build_rank
from mlx_magistral.cluster.caches import LedMemory
from mlx_magistral.cluster.leader import Leader
from mlx_magistral.cluster.passes import CacheBook
from mlx_magistral.cluster.planning import lead_memory, plan_ranks
from mlx_magistral.cluster.share import Share, Split, make_shares
from mlx_magistral.errors import UsageError
from mlx_magistral.hub.cache import hub_origin
from mlx_magistral.hub.resolve import NANO, nano_folder
from mlx_magistral.memory.prefixes.fingerprint import weights_fingerprint
from mlx_magistral.memory.runtime import MemoryOptions, ModelMemory
from mlx_magistral.model.adapters.adapter import Adapter
from mlx_magistral.model.checkpoint import Checkpoint
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import read_weights


class LedReader:
    """A ModelReader of the engine's; every model it reads takes the place of the one before."""

    def __init__(self, leader: Leader, split: Split) -> None:
        self.leader = leader
        self._split = split
        self._book = CacheBook()
        self._id = 0

    def plan(self, checkpoint: Checkpoint, options: MemoryOptions) -> ModelMemory:
        """The plan of rank 0's share, as tight as the tightest rank's."""
        if options.adapter is not None or options.beside_bytes:
            raise UsageError("Adapters run on one Mac only. Fuse it first: mlx-magistral fuse")
        shares, leader = self._shares(checkpoint), self.leader
        plans = plan_ranks(checkpoint, shares, leader.machines(), leader.names, options)
        memory = lead_memory(checkpoint, shares, plans, options)
        return LedMemory.of(memory, shares[0].config(checkpoint.config), leader, self._book)

    def read(self, checkpoint: Checkpoint, adapter: Adapter | None) -> Transformer:
        """Every rank reads its share at once; returns when all have."""
        shares = self._shares(checkpoint)
        self._id += 1
        load = {
            "op": "load",
            "id": self._id,
            "model": shared_name(checkpoint.folder),
            "fingerprint": weights_fingerprint(checkpoint, by_date=False),
            "split": self._split.value,
            "layers": [share.layers for share in shares],
        }
        self.leader.tell(load)
        book, leader = self._book, self.leader
        model = build_rank(
            checkpoint,
            shares[0],
            leader.links,
            lambda shape, cache: leader.tell(book.describe(shape, cache).to_dict()),
            lambda shape, dtype: leader.tell(
                {"op": "logits", "shape": list(shape), "dtype": str(dtype).rpartition(".")[2]}
            ),
        )
        read_weights(model)
        leader.answers("loaded")
        leader.is_running = True
        # Whoever gives the weights back here gives them back everywhere.
        gone = weakref.finalize(model, leader.tell, {"op": "unload", "id": self._id})
        gone.atexit = False
        return model

    def _shares(self, checkpoint: Checkpoint) -> list[Share]:
        limits = [machine.limit_bytes for machine in self.leader.machines()]
        return make_shares(checkpoint, self.leader.size, self._split, limits)


def shared_name(folder: Path) -> str:
    """What other machines know a model's folder by: nano, a hub id, or the same path."""
    if folder == nano_folder():
        return NANO
    return hub_origin(folder).get("repository") or str(folder.absolute())
