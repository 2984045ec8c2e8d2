"""The memory that a conversion reports is its own, whoever started it."""

import subprocess
import sys

PARENT = """
import subprocess, sys
large = b"1" * 300_000_000
code = "from magistral_convert.memory import peak_memory_bytes; print(peak_memory_bytes())"
print(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True).stdout)
"""


def test_peak_of_a_program_that_a_large_one_started() -> None:
    environment = {"PYTHONPATH": ":".join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", PARENT], env=environment, capture_output=True, text=True
    )
    assert 1_000_000 < int(result.stdout) < 150_000_000, result.stderr
