#!/usr/bin/env python3
"""Make requests up from the OpenAPI document, by the thousand, and fail at the first wrong answer.

    scripts/checks/fuzz_server.py --examples 150

Half of them keep to the document and half break it. None may fail inside, and every refusal has
the shape of its API. The backend is scripted: what is tested is the reading of requests and the
writing of replies. Needs the dev extra.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from schemathesis import GenerationMode

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from server_fuzz import answered, operations


def main() -> int:
    """Print how many requests got which status; raises where an answer is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=150, help="for each path, of each kind")
    examples = parser.parse_args().examples
    statuses: dict[GenerationMode, Counter[int]] = {mode: Counter() for mode in GenerationMode}
    for operation, mode in operations():
        statuses[mode] += answered(operation, mode, examples)
    for mode, counts in statuses.items():
        print(f"{mode.value}: {counts.total()} requests:", dict(sorted(counts.items())))
    total = sum(counts.total() for counts in statuses.values())
    print(f"{total} requests, every one answered as documented")
    return 0


if __name__ == "__main__":
    sys.exit(main())
