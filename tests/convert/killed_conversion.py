"""Convert SOURCE to OUTPUT and die by SIGKILL at step number STEP, the three arguments."""

import os
import signal
import sys
from pathlib import Path

from magistral_convert.pipeline import convert_checkpoint
from magistral_convert.recipe import Recipe
from magistral_convert.source_kinds import open_source


def main() -> None:
    source, output, fatal_step = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    steps = 0

    def die_there(step: str) -> None:
        nonlocal steps
        if steps == fatal_step:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1

    convert_checkpoint(open_source(source), output, Recipe(4), shard_bytes=1, fault=die_there)


if __name__ == "__main__":
    main()
