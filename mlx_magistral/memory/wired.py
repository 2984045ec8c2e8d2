"""WiredLimit: memory that the system may not page out, on request alone.

MLX has one limit for the whole process, so what was set before comes back with ``release``.
"""

from dataclasses import dataclass, field

import mlx.core as mx

from mlx_magistral.errors import UsageError

_GB = 1_000_000_000


@dataclass
class WiredLimit:
    """``nbytes`` of wired memory while it is held.

    Raises UsageError without Metal, and for a number outside what Metal recommends.
    """

    nbytes: int
    _previous: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not mx.metal.is_available():
            raise UsageError("--wired needs a Mac's GPU, and MLX has none here. Leave it out.")
        most = int(mx.device_info()["max_recommended_working_set_size"])
        if not 0 < self.nbytes <= most:
            # Rounded down: the number must be accepted.
            raise UsageError(
                f"--wired is {self.nbytes / _GB:g} GB; this Mac takes more than 0 and at most "
                f"{most // (_GB // 100) / 100:g}."
            )

    def hold(self) -> None:
        """Set the limit; nothing changes where it is held already."""
        if self._previous is None:
            self._previous = mx.set_wired_limit(self.nbytes)

    def release(self) -> None:
        """Set what was there before ``hold``."""
        if self._previous is not None:
            mx.set_wired_limit(self._previous)
            self._previous = None
