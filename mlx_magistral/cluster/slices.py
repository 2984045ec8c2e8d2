"""Weights of one rank: of each tensor only its share is read from the file.

One tensor's share is held at a time beside those that are done. A matrix that is cut by rows is one
run of bytes; one that is cut by columns is a run in each row, so that only the pages under them are
read.
"""

from collections.abc import Iterator

import mlx.core as mx
import numpy as np

from mlx_magistral.cluster.share import Share
from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.checkpoint import Checkpoint, Kind
from mlx_magistral.model.inventory import TensorInfo
from mlx_magistral.model.names import is_permuted, permute

# numpy has no bfloat16: its bits go through 16-bit integers.
_STORED = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32, "U32": np.uint32}


def read_share(checkpoint: Checkpoint, share: Share) -> Iterator[tuple[str, mx.array]]:
    """Name in the rank's model and array of each tensor, in the order of the model.

    Raises CheckpointError for a file that cannot be read.
    """
    for name, info in checkpoint.tensors.items():
        place = share.place(name)
        if place is None:
            continue
        axis = share.axis(name)
        if axis is None:
            yield place, checkpoint.read(name)
            continue
        array = _read_cut(info, axis, share)
        if checkpoint.kind is Kind.NATIVE and is_permuted(name):
            # Rows change places within a head, and a share is whole heads.
            with mx.stream(mx.cpu):
                array = permute(array, checkpoint.config.head_dim)
        mx.eval(array)
        yield place, array


def _read_cut(info: TensorInfo, axis: int, share: Share) -> mx.array:
    try:
        mapped = np.memmap(info.file, _STORED[info.dtype], "r", info.start, info.shape)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{info.file} cannot be read: {error}.") from error
    length = info.shape[axis] // share.size
    start = share.rank * length
    part = mapped[start : start + length] if axis == 0 else mapped[:, start : start + length]
    # Of columns as they lie MLX would keep what it copied them from.
    array = mx.array(part if axis == 0 else np.ascontiguousarray(part))
    return array.view(mx.bfloat16) if info.dtype == "BF16" else array
