"""What a conversion aims at: which tensor is stored in how many bits, and by which method.

Frozen values only; nothing here reads a file or touches an array.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from mlx_magistral.errors import ConversionError, UsageError
from mlx_magistral.model.quant_config import QuantFormat

GROUP_SIZES = (32, 64, 128)
OUTPUT_BITS = (3, 4, 5, 6, 8, 16)
LEAST_BITS = OUTPUT_BITS[0]
NOT_QUANTIZED = 16
_STATIC_MIX_BITS = (3, 4)
# What a mix may give a single tensor; MLX has kernels for each of them.
TENSOR_BITS = (3, 4, 5, 6, 8)
_DTYPES = ("bfloat16", "float16")


class Method(StrEnum):
    """How the codes and scales of a tensor are chosen."""

    PLAIN = "plain"  # MLX's grid, nearest codes against the stored scale
    SEARCH = "search"  # the grid that fits best where the inputs are large
    CALIBRATED = "calibrated"  # the same, and errors made good in later columns (GPTQ)


class Mix(StrEnum):
    """How bits are shared out among the matrices."""

    NONE = "none"  # all the same
    STATIC = "static"  # a fixed table
    AUTO = "auto"  # by measured sensitivity


@dataclass(frozen=True)
class Recipe:
    """The aim of a conversion; ``overrides`` maps module paths to formats that differ.

    With Mix.AUTO no matrix gets fewer bits than ``bits``.
    """

    bits: int
    group_size: int = 64
    dtype: str = "bfloat16"
    method: Method = Method.PLAIN
    mix: Mix = Mix.NONE
    bits_per_weight: float | None = None  # the average that Mix.AUTO may reach
    overrides: Mapping[str, QuantFormat] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.bits not in OUTPUT_BITS:
            raise UsageError(f"--bits {self.bits} is none of {OUTPUT_BITS}. Choose one.")
        if self.group_size not in GROUP_SIZES:
            raise UsageError(
                f"--group-size {self.group_size} is none of {GROUP_SIZES}. Choose one."
            )
        if (self.bits_per_weight is None) != (self.mix is not Mix.AUTO):
            raise UsageError("--bits-per-weight belongs to --mix auto, and --mix auto needs it.")
        if self.bits_per_weight is not None and not math.isfinite(self.bits_per_weight):
            raise UsageError(
                f"--bits-per-weight is {self.bits_per_weight:g}, which is no amount of bits. "
                "Choose one from 3.5 to 9, such as 4.7."
            )
        if self.mix is Mix.STATIC and self.bits not in _STATIC_MIX_BITS:
            raise UsageError(
                f"--mix static is made for --bits 3 and 4, not {self.bits}. Choose --mix auto."
            )
        if self.bits == NOT_QUANTIZED and (self.mix, self.method) != (Mix.NONE, Method.PLAIN):
            raise UsageError("--bits 16 quantizes nothing, so no recipe and no mix goes with it.")
        for path, format in self.overrides.items():
            if format.bits not in TENSOR_BITS or format.group_size not in GROUP_SIZES:
                raise ConversionError(
                    f"MLX has no {format.bits} bits in groups of {format.group_size} for {path}."
                )
        if self.dtype not in _DTYPES:
            raise UsageError(f"--dtype {self.dtype} is none of {_DTYPES}. Choose one.")

    @property
    def default_format(self) -> QuantFormat | None:
        """The format of every matrix without an override; None where nothing is quantized."""
        if self.bits == NOT_QUANTIZED:
            return None
        return QuantFormat(self.group_size, self.bits)

    @property
    def needs_text(self) -> bool:
        """Whether calibration text is needed to follow it."""
        return self.method is not Method.PLAIN or self.mix is Mix.AUTO

    def format_of(self, tensor: str, shape: tuple[int, ...]) -> QuantFormat | None:
        """The format for an HF tensor name; None for vectors (norms) and at 16 bits.

        Raises ConversionError where the columns do not divide into groups.
        """
        default = self.default_format
        if default is None or len(shape) != 2:
            return None
        format = self.overrides.get(module_path(tensor), default)
        if shape[1] % format.group_size:
            raise ConversionError(
                f"{tensor} has {shape[1]} columns, which is no multiple of the group size "
                f"{format.group_size}. Choose --group-size 32 or --bits 16."
            )
        return format

    def to_json(self) -> dict[str, Any]:
        """The recipe as conversion.json and the resume journal keep it."""
        return {
            "bits": self.bits,
            "group_size": self.group_size,
            "dtype": self.dtype,
            "method": str(self.method),
            "mix": str(self.mix),
            "bits_per_weight": self.bits_per_weight,
            "overrides": {path: asdict(format) for path, format in sorted(self.overrides.items())},
        }


def module_path(tensor: str) -> str:
    """The module that owns a tensor: ``lm_head.weight`` -> ``lm_head``."""
    return tensor.rpartition(".")[0]


def stored_bits(format: QuantFormat) -> float:
    """Storage of one weight with its share of a 16-bit scale and bias, in bits."""
    return format.bits + 32 / format.group_size
