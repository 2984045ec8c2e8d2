"""Measuring in a process of its own, so that two engines never hold a model each at once.

The process gets a job as its argument and writes lines of JSON to stdout: each run as it comes,
then the results, or the error that ended it.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import mlx_magistral
from mlx_magistral.bench.measure import Case, Result, Run, Subject, measure
from mlx_magistral.engine.reading import ModelReader
from mlx_magistral.errors import MagistralError, UsageError


@dataclass(frozen=True)
class Job:
    """What one engine runs; ``model`` is a name or a folder."""

    engine: str
    model: str
    draft: str | None
    cases: Sequence[Case]
    decode_tokens: int
    runs: int
    bytes_per_s: float


OnRun = Callable[[Case, Run], None]


def measure_here(job: Job, on_run: OnRun, reader: ModelReader | None = None) -> list[Result]:
    """Load the engine, by ``reader`` where the model is divided, and run the job here."""
    return measure(
        _subject(job, reader),
        job.cases,
        decode_tokens=job.decode_tokens,
        runs=job.runs,
        bytes_per_s=job.bytes_per_s,
        on_run=on_run,
    )


def measure_apart(job: Job, on_run: OnRun) -> list[Result]:
    """The same in a process that ends with it.

    Raises UsageError or MagistralError with the process's own message, or with how it ended.
    """
    root = str(Path(mlx_magistral.__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "mlx_magistral.bench.apart", json.dumps(asdict(job))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    with process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                record = json.loads(line)
                if "error" in record:
                    kind = UsageError if record["exit_code"] == 2 else MagistralError
                    raise kind(record["error"])
                if "results" in record:
                    return [_result(each) for each in record["results"]]
                on_run(Case(**record["case"]), Run(**record["run"]))
        finally:
            process.kill()
    raise MagistralError(
        f"The process that measures {job.engine} ended with {process.returncode}, and said nothing."
    )


def main() -> None:
    """The process: a job in its argument, lines on stdout."""
    # What a library prints is no line of ours.
    lines, sys.stdout = sys.stdout, sys.stderr
    content = json.loads(sys.argv[1])
    job = Job(**{**content, "cases": [Case(**each) for each in content["cases"]]})

    def on_run(case: Case, run: Run) -> None:
        _tell(lines, {"case": asdict(case), "run": asdict(run)})

    try:
        results = measure_here(job, on_run)
    except MagistralError as error:
        _tell(lines, {"error": str(error), "exit_code": error.exit_code})
        return
    _tell(lines, {"results": [asdict(each) for each in results]})


def _subject(job: Job, reader: ModelReader | None = None) -> Subject:
    if job.engine == "mlx-lm":
        from mlx_magistral.bench.peer import Peer

        return Peer(Path(job.model))
    from mlx_magistral.bench.ours import Ours
    from mlx_magistral.engine.magistral import Magistral

    return Ours(Magistral.load(job.model, draft=job.draft, reader=reader))


def _result(content: dict[str, Any]) -> Result:
    return Result(Case(**content["case"]), Run(**content["run"]), content["bandwidth_share"])


def _tell(lines: TextIO, record: dict[str, Any]) -> None:
    lines.write(json.dumps(record) + "\n")
    lines.flush()


if __name__ == "__main__":
    main()
