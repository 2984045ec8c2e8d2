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
class PartialFormat:
    """What a config.json says of one module; None is what it leaves to the shapes.

    mlx-lm's mixed recipes write ``"group_size": null`` where none was asked for.
    """

    group_size: int | None
    bits: int | None


@dataclass(frozen=True)
class QuantConfig:
    """The format of all modules, and what is said of those that differ; None means float."""

    group_size: int
    bits: int
    overrides: Mapping[str, QuantFormat | PartialFormat | None]
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
        stated = _stated(table, key, source)
        if stated.group_size is None or stated.bits is None:
            raise _unknown(table, key, source)
        overrides: dict[str, QuantFormat | PartialFormat | None] = {}
        for path, value in table.items():
            if isinstance(value, dict):
                overrides[text_name(path)] = _stated(value, f"{key}.{path}", source)
            elif isinstance(value, bool):
                overrides[text_name(path)] = stated if value else None
        return cls(stated.group_size, stated.bits, overrides)

    def for_path(self, path: str, stored: QuantFormat | None = None) -> QuantFormat | None:
        """The format of the module at ``path``; None means it is stored as float.

        ``stored`` is what its shapes tell, which holds where the config leaves something open or
        does not name the module: mlx-lm goes by the shapes there.
        """
        default = QuantFormat(self.group_size, self.bits)
        stated = self.overrides.get(path, PartialFormat(None, None))
        if stated is None or isinstance(stated, QuantFormat):
            return stated
        if stated.group_size is not None and stated.bits is not None:
            return QuantFormat(stated.group_size, stated.bits)
        if stored is None or stored.group_size not in _GROUP_SIZES or stored.bits not in _BITS:
            stored = default
        return QuantFormat(stated.group_size or stored.group_size, stated.bits or stored.bits)


def _stated(table: dict[str, Any], key: str, source: Path | str) -> PartialFormat:
    mode = table.get("mode") or "affine"
    if mode != "affine":
        raise CheckpointError(
            f"{source}: {key}.mode is {mode!r}, and only affine is read here: at the same size it "
            "is the most exact. Convert the original checkpoint again."
        )
    group_size, bits = _whole(table.get("group_size")), _whole(table.get("bits"))
    if group_size not in (None, *_GROUP_SIZES) or bits not in (None, *_BITS):
        raise _unknown(table, key, source)
    return PartialFormat(group_size, bits)


def _whole(value: Any) -> Any:
    """64 for 64.0, which some tools write; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _unknown(table: dict[str, Any], key: str, source: Path | str) -> CheckpointError:
    return CheckpointError(
        f"{source}: {key} has group_size {table.get('group_size')!r} and bits "
        f"{table.get('bits')!r}. MLX stores groups of {_GROUP_SIZES} at {_BITS} bits."
    )
