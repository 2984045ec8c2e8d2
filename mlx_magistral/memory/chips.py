"""How fast each of Apple's chips reads its memory, which is what decodes a token at a time."""

import re

# GB/s as Apple states them; of two versions of a chip the slower, because its name is the same.
_BANDWIDTHS = {
    "M1": 68, "M1 Pro": 200, "M1 Max": 400, "M1 Ultra": 800,
    "M2": 100, "M2 Pro": 200, "M2 Max": 400, "M2 Ultra": 800,
    "M3": 100, "M3 Pro": 150, "M3 Max": 300, "M3 Ultra": 819,
    "M4": 120, "M4 Pro": 273, "M4 Max": 410,
    "M5": 153,
}  # fmt: skip


def bandwidth(chip: str) -> float | None:
    """Bytes a second that a chip such as ``Apple M2 Pro`` reads; None for one not known here."""
    match = re.search(r"\bM\d+(?: (?:Pro|Max|Ultra))?\b", chip, re.IGNORECASE)
    if match is None:
        return None
    known = {name.lower(): speed for name, speed in _BANDWIDTHS.items()}
    speed = known.get(match.group().lower())
    return None if speed is None else speed * 1e9
