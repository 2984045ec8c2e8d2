"""Every command of docs/chat.md runs, with nano in the place of magistral-4bit."""

import os
import re
import subprocess
import sys
from pathlib import Path

from mlx_magistral.hub.resolve import nano_folder

ROOT = Path(__file__).parent.parent.parent


def test_commands_of_the_page_run(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "chat.md").read_text("utf-8"), re.S)
    program = tmp_path / "mlx-magistral"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mlx_magistral "$@"\n')
    program.chmod(0o755)
    (tmp_path / "magistral-4bit").symlink_to(nano_folder())
    # The page begins with --continue; there is something to continue after its second block.
    script = "\n".join([blocks[1], blocks[0], *blocks[2:]])
    result = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'convert'}",
            "MLX_MAGISTRAL_DATA": str(tmp_path / "data"),
            "MLX_MAGISTRAL_CACHE": str(tmp_path / "cache"),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("The sum is $\\boxed{85}$.\nThe sum is $\\boxed{90}$.\n")
