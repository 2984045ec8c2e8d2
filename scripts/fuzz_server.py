"""Make requests up from the OpenAPI document, by the thousand, and fail at the first 500.

    scripts/fuzz_server.py --examples 300

The backend is scripted: what is tested is the reading of requests and the writing of replies.
"""

import argparse
import sys
from collections import Counter

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from server_fakes import FakeBackend

from mlx_magistral.server.app import make_app

_HOST = {"host": "localhost"}


def main() -> int:
    """Print how many requests got which status; 1 where the server failed inside."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300, help="for each path")
    examples = parser.parse_args().examples
    app = make_app(FakeBackend())
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers=_HOST)
    statuses: Counter[int] = Counter()
    for found in schema.get_all_operations():
        strategy = found.ok().as_strategy()

        @given(case=strategy)
        @settings(
            max_examples=examples,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def run(case: Case) -> None:
            response = case.call(headers=_HOST)
            statuses[response.status_code] += 1
            assert response.status_code < 500, response.text

        run()
    print(f"{sum(statuses.values())} requests:", dict(sorted(statuses.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
