"""The terminal's size, asked again each time: windows are resized."""

import shutil


def terminal_size() -> tuple[int, int]:
    """Columns and lines."""
    size = shutil.get_terminal_size()
    return max(size.columns, 10), max(size.lines, 4)
