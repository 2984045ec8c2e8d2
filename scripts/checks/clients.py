#!/usr/bin/env python
"""Real clients against the server: each installed by itself, driven headless, before a script.

    scripts/checks/clients.py --work DIR [--only NAME ...] [--cases plain,tool,...] [--keep]
                              [--docs] [--fixtures] [--json] [--list]

What a reply says is set here; requests are encoded and checked as a model's would be, with the
full vocabulary. Each client has a folder of its own under DIR, which is deleted afterwards unless
--keep is given, and talks to loopback alone: updates and telemetry are off by its own settings.
--docs writes the table of docs/serving.md, --fixtures the requests for the tests. Exits 1 where a
case fails.
"""

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts/bench"), str(ROOT / "scripts/checks")]

from real_clients.agents import AGENTS  # noqa: E402
from real_clients.cases import CASES, script  # noqa: E402
from real_clients.fixtures import write_fixture  # noqa: E402
from real_clients.libraries import LIBRARIES  # noqa: E402
from real_clients.recording import recording_server  # noqa: E402
from real_clients.running import KEY, Client, Place, run_cases  # noqa: E402
from real_clients.scripted import ScriptedBackend  # noqa: E402
from real_clients.table import Row, write_table  # noqa: E402
from real_clients.webui import WEBUI  # noqa: E402

from full_tekken import write_full_tekken  # noqa: E402

CLIENTS = {client.name: client for client in (*LIBRARIES, *AGENTS, WEBUI)}


@dataclass
class Report:
    """What became of one client."""

    row: Row
    problems: dict[str, list[str]] = field(default_factory=dict)


def main() -> int:
    arguments = parsed()
    if arguments.list:
        print("\n".join(CLIENTS))
        return 0
    work = arguments.work.resolve()
    names = arguments.only or list(CLIENTS)
    (work / "tekken").mkdir(parents=True, exist_ok=True)
    vocabulary = write_full_tekken(work / "tekken")
    reports = []
    for name in names:
        report = checked(CLIENTS[name], work / name, vocabulary, arguments)
        reports.append(report)
        print(f"{name} {report.row.version}: {report.row.result}", flush=True)
        for case, problems in report.problems.items():
            for problem in problems:
                print(f"  {case}: {problem}", flush=True)
        if arguments.docs:
            write_table(ROOT / "docs/serving.md", [report.row], list(CLIENTS))
        if not arguments.keep:
            shutil.rmtree(work / name, ignore_errors=True)
    if arguments.json:
        print(json.dumps([vars(report.row) for report in reports]))
    return 1 if any(report.problems for report in reports) else 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required="--list" not in sys.argv)
    parser.add_argument("--only", nargs="*", choices=list(CLIENTS), default=[])
    parser.add_argument("--cases", default=",".join(CASES))
    for flag in ("--keep", "--docs", "--fixtures", "--json", "--list"):
        parser.add_argument(flag, action="store_true")
    arguments = parser.parse_args()
    if arguments.docs and set(arguments.cases.split(",")) != set(CASES):
        parser.error("--docs is for all cases, without --cases")
    return arguments


def checked(client: Client, folder: Path, vocabulary: Path, options: Any) -> Report:
    """Install it, run the cases, judge them."""
    date = time.strftime("%Y-%m-%d")
    failure = client.install(folder)
    if failure:
        return Report(Row(client.name, "", date, "not installed"), {"install": [failure]})
    version = client.installed_version(folder)
    cases = tuple(case for case in CASES if case in options.cases.split(","))
    backend = ScriptedBackend(script, vocabulary)
    with recording_server(backend, KEY) as (url, recorder):
        outcomes = run_cases(client, Place(folder, url), backend, recorder, cases)
    judged = {case: outcome.judge() for case, outcome in outcomes.items()}
    problems = {case: found for case, found in judged.items() if found}
    if options.fixtures and not problems:
        write_fixture(
            ROOT / "tests/server/protocols/requests", client.name, version, outcomes, folder
        )
    return Report(Row(client.name, version, date, result(client, cases, problems)), problems)


def result(client: Client, cases: tuple[str, ...], problems: dict[str, list[str]]) -> str:
    """In words, for the table."""
    tried = [case for case in cases if case not in client.leaves_out]
    if problems:
        return f"fails: {', '.join(problems)}"
    left = [case for case in cases if case in client.leaves_out]
    return f"all {len(tried)} pass" + (f"; without {', '.join(left)}" if left else "")


if __name__ == "__main__":
    sys.exit(main())
