"""TargetStates: what the target has in its layers at every id of a pack, and what it says there.

Made by a pass of the target when a pack is learned from, and kept on disk as far as the caller
allows, so that a later epoch reads what it would compute. Never more than one pack is in memory.
"""

# mypy: allow-untyped-calls

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_magistral.model.caches import make_cache
from mlx_magistral.model.eagle.taps import AuxTap
from mlx_magistral.model.ragged import ragged_caches
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.train.drafter.said import Said, Window
from mlx_magistral.train.files import write_whole


class TargetStates:
    """The states of a target. ``chunk_tokens`` of a text go through it at once; ``folder`` is where
    at most ``disk_bytes`` are kept."""

    def __init__(
        self,
        target: Transformer,
        layers: Sequence[int],
        *,
        chunk_tokens: int,
        folder: Path | None = None,
        disk_bytes: int = 0,
    ) -> None:
        self._target = target
        self._layers = layers
        self._chunk = chunk_tokens
        self._folder = folder
        self._room = disk_bytes
        if folder is not None:
            self._room -= sum(each.stat().st_size for each in folder.glob("*.safetensors"))

    def of(self, windows: Sequence[Window]) -> tuple[mx.array, mx.array]:
        """Of the windows' ids, one behind the other: states (ids, features * dim), and normalized
        last states (ids, dim), from which ``target.logits`` are."""
        parts = [self._kept(window.said) for window in windows]
        missing = [place for place, part in enumerate(parts) if part is None]
        computed = self._compute([windows[place].said for place in missing])
        for place, part in zip(missing, computed, strict=True):
            parts[place] = part
            self._keep(windows[place].said, part)
        cut = [
            (states[window.start : window.end], last[window.start : window.end])
            for window, (states, last) in zip(windows, map(_there, parts), strict=True)
        ]
        return mx.concatenate([each for each, _ in cut]), mx.concatenate([each for _, each in cut])

    def _compute(self, texts: Sequence[Said]) -> list[tuple[mx.array, mx.array]]:
        """A pass over all of them at once where they are short, else over each in chunks."""
        if sum(map(len, texts)) <= self._chunk:
            return self._together(texts) if texts else []
        return [self._alone(each) for each in texts]

    def _together(self, texts: Sequence[Said]) -> list[tuple[mx.array, mx.array]]:
        lengths = [len(each) for each in texts]
        caches = [make_cache(self._target) for _ in texts]
        tap = AuxTap(self._layers)
        tokens = mx.array([token for each in texts for token in each.tokens])[:, None]
        last = self._target.hidden(tokens, ragged_caches(caches, lengths, lengths), tap)[:, 0]
        states = tap.take()[:, 0]
        mx.eval(states, last)
        parts, start = [], 0
        for length in lengths:
            parts.append((states[start : start + length], last[start : start + length]))
            start += length
        return parts

    def _alone(self, said: Said) -> tuple[mx.array, mx.array]:
        cache, tap = make_cache(self._target), AuxTap(self._layers)
        states, lasts = [], []
        for start in range(0, len(said), self._chunk):
            tokens = mx.array(list(said.tokens[start : start + self._chunk]))[None]
            lasts.append(self._target.hidden(tokens, cache, tap)[0])
            states.append(tap.take()[0])
            mx.eval(states[-1], lasts[-1])
        return mx.concatenate(states), mx.concatenate(lasts)

    def _path(self, said: Said) -> Path | None:
        return None if self._folder is None else self._folder / f"{said.digest.hex()}.safetensors"

    def _kept(self, said: Said) -> tuple[mx.array, mx.array] | None:
        path = self._path(said)
        if path is None or not path.is_file():
            return None
        loaded: Any = mx.load(str(path), stream=mx.cpu)
        return loaded["states"], loaded["last"]

    def _keep(self, said: Said, part: tuple[mx.array, mx.array]) -> None:
        path, needed = self._path(said), sum(each.nbytes for each in part)
        if path is None or needed > self._room:
            return
        arrays = {"states": part[0], "last": part[1]}
        write_whole(path, lambda draft: mx.save_safetensors(str(draft), arrays))
        self._room -= needed


def _there(part: tuple[mx.array, mx.array] | None) -> tuple[mx.array, mx.array]:
    assert part is not None
    return part
