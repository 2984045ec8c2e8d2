"""Follower: any rank but 0. It does what the leader tells of, with caches that mirror the leader's.

Never draws, encodes or shows anything: ids come to it inside the computation.
"""

import os
import resource
import sys

import mlx.core as mx

from mlx_magistral.cluster.building import build_rank
from mlx_magistral.cluster.call import is_link_error
from mlx_magistral.cluster.links import Links
from mlx_magistral.cluster.passes import CacheShelf, CacheState, Pass
from mlx_magistral.cluster.prefixes import FollowedPrefixes
from mlx_magistral.cluster.pulse import Pulse
from mlx_magistral.cluster.share import Share, Split
from mlx_magistral.cluster.wire import Message, Wire
from mlx_magistral.errors import ClusterError, MagistralError
from mlx_magistral.hub.resolve import find_local
from mlx_magistral.memory.prefixes.fingerprint import weights_fingerprint
from mlx_magistral.model.checkpoint import Checkpoint, open_checkpoint
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import read_weights

# Passes of so many rows are waited for, so that what they leave is given back before the next.
_LONG_ROWS = 64
# For rank 0 to end first, which it does as soon as it hears of it.
GIVE_UP_S = 10.0


class Follower:
    """Serves one leader, from ``run`` to its word that it is over."""

    def __init__(self, links: Links, wire: Wire) -> None:
        self._links = links
        self._wire = wire
        self._pulse = Pulse({0: wire}, lambda rank, what: os._exit(1))
        self._model: Transformer | None = None
        self._shelf: CacheShelf | None = None
        self._prefixes: FollowedPrefixes | None = None
        self._id = 0  # of the model
        self._pulse.start()

    def run(self) -> None:
        """Returns once the leader has said that it is over; ends the process where it is lost."""
        try:
            while (message := self._pulse.inbox.get()[1])["op"] != "end":
                self._do(message)
            mx.synchronize()
            self._pulse.stop()
            self._wire.close()
        except Exception as error:  # Whatever it is, rank 0 says it and names this rank.
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        """Tell rank 0 why this ends; of a rank that is lost it knows by itself, and which it is."""
        if not is_link_error(error):
            kind = "" if isinstance(error, MagistralError) else f"failed ({type(error).__name__}): "
            self._wire.send({"op": "error", "text": f"{kind}{error}"})
        self._pulse.wait(GIVE_UP_S)
        os._exit(1)

    def _do(self, message: Message) -> None:
        match message["op"]:
            case "pass":
                self._pass(Pass.from_dict(message))
            case "logits":
                self._loaded().logits(mx.zeros(message["shape"], getattr(mx, message["dtype"])))
            case "probe":
                find_same(message["model"], message["fingerprint"])
                self._wire.send({"op": "probed"})
            case "peak":
                self._wire.send({"op": "peak", **peaks()})
            case "measure":
                self._measure(message["bytes"], message["count"])
            case "copy":
                self._copy(message)
            case "restore" | "store" | "shrink" if self._prefixes is not None:
                self._prefixes.do(message)
            case "load":
                self._load(message)
            case "unload" if message["id"] == self._id:
                self._model = self._shelf = self._prefixes = None
                mx.clear_cache()

    def _pass(self, wanted: Pass) -> None:
        assert self._shelf is not None
        hidden = self._loaded().hidden(mx.zeros(wanted.shape), self._shelf.for_pass(wanted))
        if wanted.shape[0] * wanted.shape[1] > _LONG_ROWS:
            mx.eval(hidden)
            mx.clear_cache()

    def _measure(self, nbytes: int, count: int) -> None:
        for _ in range(count):
            mx.eval(self._links.add_up(mx.zeros(nbytes // 2, mx.bfloat16)))

    def _copy(self, message: Message) -> None:
        assert self._shelf is not None
        source = self._shelf.at(CacheState(**message["source"]))
        for layer, other in zip(
            self._shelf.at(CacheState(**message["cache"])), source, strict=True
        ):
            layer.copy_from(other, message["tokens"])

    def _loaded(self) -> Transformer:
        assert self._model is not None  # the leader loads before it computes
        return self._model

    def _load(self, message: Message) -> None:
        self._model = self._shelf = self._prefixes = None
        self._id = message["id"]
        checkpoint = find_same(message["model"], message["fingerprint"])
        rank, size = self._links.rank, self._links.size
        first, end = message["layers"][rank]
        share = Share(rank, size, Split(message["split"]), (first, end))
        self._model = build_rank(checkpoint, share, self._links)
        read_weights(self._model)
        held = share.config(checkpoint.config)
        self._shelf = CacheShelf(held)
        leading = message["layers"][0]
        self._prefixes = FollowedPrefixes(self._shelf, held.n_layers, leading[1] - leading[0])
        self._wire.send({"op": "loaded"})


def peaks() -> dict[str, int]:
    """The most bytes that MLX has held in this process, and that the process has had resident."""
    unit = 1 if sys.platform == "darwin" else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"mlx_bytes": mx.get_peak_memory(), "resident_bytes": resident}


def find_same(model: str, fingerprint: str) -> Checkpoint:
    """The leader's model on this disk; raises ClusterError where there is none or another."""
    try:
        folder = find_local(model)
        checkpoint = None if folder is None else open_checkpoint(folder)
    except MagistralError as error:
        raise ClusterError(f"cannot use the model {model}: {error}") from error
    if checkpoint is None:
        raise ClusterError(f"has no {model}. Run there: mlx-magistral pull {model}")
    if weights_fingerprint(checkpoint, by_date=False) != fingerprint:
        raise ClusterError(
            f"has another {model} than rank 0: the weights or the manifest differ. Copy the folder "
            "of rank 0 there"
        )
    return checkpoint
