"""Convert SOURCE to OUTPUT and die by SIGKILL at step number STEP; a fourth word calibrates."""

import os
import signal
import sys
from pathlib import Path

import numpy as np

from magistral_convert.calibration.data import CalibrationText, TokenText
from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Method, Recipe
from magistral_convert.sources.kinds import open_source

CALIBRATED = Recipe(4, method=Method.CALIBRATED)


def calibration_text() -> CalibrationText:
    """The same random ids in every process."""
    ids = np.random.default_rng(0).integers(0, 192, (24, 64))
    return CalibrationText.split(TokenText(ids, np.full(ids.shape, "random")))


def main() -> None:
    source, output, fatal_step = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    steps = 0

    def die_there(step: str) -> None:
        nonlocal steps
        if steps == fatal_step:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1

    opened = open_source(source)
    if len(sys.argv) > 4:
        text = calibration_text()
        convert_checkpoint(opened, output, CALIBRATED, text=text, fault=die_there)
    else:
        convert_checkpoint(opened, output, Recipe(4), shard_bytes=1, fault=die_there)


if __name__ == "__main__":
    main()
