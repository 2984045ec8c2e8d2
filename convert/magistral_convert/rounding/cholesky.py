"""A Cholesky factor in place, panel by panel, in float64.

numpy.linalg.cholesky computes a float32 matrix in float64 as well, in three copies of twice its
size: 1.6 GB for 8,192 columns. Here a panel at a time is all there is beside the matrix.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_PANEL = 256


def lower_factor(matrix: npt.NDArray[np.float64]) -> None:
    """Put the lower factor L, with L Lᵀ the symmetric matrix (C, C), in its place, zeros above.

    Raises numpy.linalg.LinAlgError where the matrix is not positive definite.
    """
    size = len(matrix)
    for panel in panels(size):
        # What the panels before it have in it; the matrix to their right was not touched yet.
        before = matrix[panel.start :, : panel.start]
        part = matrix[panel.start :, panel]
        part -= before @ before[: panel.stop - panel.start].T
        corner = np.linalg.cholesky(part[: panel.stop - panel.start])
        part[: panel.stop - panel.start] = corner
        below = part[panel.stop - panel.start :]
        below[:] = below @ np.linalg.inv(corner).T
        matrix[panel, panel.stop :] = 0


def panels(size: int) -> Iterator[slice]:
    """Spans of rows or columns to work on at a time."""
    for begin in range(0, size, _PANEL):
        yield slice(begin, min(begin + _PANEL, size))
