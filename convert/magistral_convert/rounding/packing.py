"""Codes of 2 to 8 bits to the bit stream MLX stores, a row at a time.

MLX keeps each row as one little-endian bit stream in uint32 words, whatever the width: code k of a
row occupies bits [k * bits, (k + 1) * bits). So any codes make a legal MLX tensor.
"""

import mlx.core as mx

_CODES_A_LANE = 8


def pack_codes(codes: mx.array, bits: int) -> mx.array:
    """Pack uint8 codes below 2**bits, shape (R, C), into uint32 words, shape (R, C * bits / 32).

    C must be a multiple of 32, so that every row ends on a whole word at every width.
    """
    # Eight codes share one uint64; three halvings squeeze the gaps out: 8 bytes -> 4 pairs -> 2
    # quads -> one run of 8 * bits bits, of which the low `bits` bytes are kept.
    lanes = codes.view(mx.uint64)  # (R, C / 8)
    for step, mask in enumerate((0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0x00000000FFFFFFFF)):
        width = 8 << step
        keep = _uint64(mask)
        upper = (lanes >> _uint64(width)) & keep
        lanes = (lanes & keep) | (upper << _uint64(bits << step))
    rows, lane_count = lanes.shape
    lane_bytes = lanes.view(mx.uint8).reshape(rows, lane_count, _CODES_A_LANE)
    stream = mx.contiguous(lane_bytes[..., :bits])  # (R, C / 8, bits)
    return stream.reshape(rows, lane_count * bits).view(mx.uint32)


def _uint64(value: int) -> mx.array:
    return mx.array(value, dtype=mx.uint64)
