"""QuantConfig: how each module of an MLX-quantized checkpoint is stored.

Reads what mlx-lm and our converter write in config.json under ``quantization``: one group size and
width for all, and exceptions by module path (``model.layers.3.self_attn.v_proj``, ``lm_head``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_magistral.errors import CheckpointError
from mlx_magistral.model.names import text_name

# What mx.quantize takes in affine mode.
_GROUP_SIZES = (32, 64, 128)
_BITS = (2, 3, 4, 5, 6, 8)


@dataclass(frozen=True)
class QuantFormat:
    """MLX's affine format of one module: ``group_size`` weights share a scale and a bias."""

    group_size: int
    bits: int


@dataclass(frozen=True)
class QuantConfig:
    """The format of all modules, and those that differ; None among them means float."""

    group_size: int
    bits: int
    overrides: Mapping[str, QuantFormat | None]
    mode: str = "affine"

    @classmethod
    def from_hf(cls, content: dict[str, Any], source: Path | str) -> "QuantConfig | None":
        """Read config.json; None where it tells of no quantization.

        Raises CheckpointError for another tool's quantization or another mode than affine.
        """
        key = "quantization" if content.get("quantization") else "quantization_config"
        table = content.get(key)
        if not table:
            return None
        if not isinstance(table, dict) or "bits" not in table or "group_size" not in table:
            method = table.get("quant_method") if isinstance(table, dict) else table
            raise CheckpointError(
                f"{source}: {key} is of {method!r}, not of MLX. Convert the original checkpoint "
                "with: mlx-magistral convert SOURCE OUTPUT --bits 4"
            )
        default = _format(table, key, source)
        overrides: dict[str, QuantFormat | None] = {}
        for path, value in table.items():
            if isinstance(value, dict):
                overrides[text_name(path)] = _format(value, f"{key}.{path}", source)
            elif isinstance(value, bool):
                overrides[text_name(path)] = default if value else None
        return cls(default.group_size, default.bits, overrides)

    def for_path(self, path: str) -> QuantFormat | None:
        """The format of the module at ``path``; None means it is stored as float."""
        return self.overrides.get(path, QuantFormat(self.group_size, self.bits))


def _format(table: dict[str, Any], key: str, source: Path | str) -> QuantFormat:
    mode = table.get("mode", "affine")
    if mode != "affine":
        raise CheckpointError(
            f"{source}: {key}.mode is {mode!r}, and only affine is read here: at the same size it "
            "is the most exact. Convert the original checkpoint again."
        )
    group_size, bits = table.get("group_size"), table.get("bits")
    if group_size not in _GROUP_SIZES or bits not in _BITS:
        raise CheckpointError(
            f"{source}: {key} has group_size {group_size!r} and bits {bits!r}. MLX stores groups "
            f"of {_GROUP_SIZES} at {_BITS} bits."
        )
    return QuantFormat(group_size, bits)
