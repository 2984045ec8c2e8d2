"""Where training data comes from: files, the hub, and what our other commands have written.

Chats, batches and evaluations keep what was asked and said; here they become records as a file of
chats has them.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mlx_magistral.errors import MagistralError, TrainingError, UsageError
from mlx_magistral.train.reading import Record, read_data, read_file

# Of a data set on the hub, in this order; the first that there are.
_HUB_PATTERNS = ("*train*.jsonl", "*train*.parquet", "*train*.csv", "*.jsonl", "*.parquet")
_MOST_HUB_FILES = 64
_TABLES = (".csv", ".parquet")


def data_records(names: Sequence[str]) -> tuple[list[Record], list[Record]]:
    """Records to train on and to validate on, of files, folders and data sets of the hub."""
    train: list[Record] = []
    valid: list[Record] = []
    for name in names:
        learned, held = _named(name)
        if not learned:
            raise TrainingError(f"{name} holds no example: it is empty.")
        train += learned
        valid += held
    return train, valid


def session_records(wanted: Sequence[str]) -> list[Record]:
    """A conversation for each session of a name, or with these words in it, answered turns only."""
    from mlx_magistral.chat.sessions import SessionStore
    from mlx_magistral.chat.turns import shown_to_model

    store = SessionStore()
    records: dict[str, Record] = {}
    for words in wanted:
        names = [words] if words in store.names() else [each.id for each in store.search(words)]
        if not names:
            raise TrainingError(f"No session holds {words!r}. See `mlx-magistral sessions`.")
        for name in names:
            content = store.read(name)
            messages = shown_to_model(content.messages, keep_reasoning=True)
            if content.system:
                messages = [{"role": "system", "content": content.system}, *messages]
            if any(each["role"] == "assistant" for each in messages):
                records[name] = Record({"messages": messages}, f"session {name}")
    return list(records.values())


def batch_records(requests: Path, answers: Path) -> list[Record]:
    """What was asked with what was answered, but for replies that did not end by themselves."""
    from mlx_magistral.evals.batch.lines import read_requests

    asked = {line.custom_id: line.body for line in read_requests(requests) if not line.problem}
    records = []
    for answer in read_file(answers):
        body = (answer.content.get("response") or {}).get("body") or {}
        request = asked.get(str(answer.content.get("custom_id")))
        choices = body.get("choices") or []
        if request is None or not choices or "messages" not in request:
            continue
        if choices[0].get("finish_reason") not in ("stop", "tool_calls"):
            continue
        said = {"role": "assistant", **_said(choices[0].get("message") or {})}
        content = {"messages": [*request["messages"], said], "tools": request.get("tools")}
        records.append(Record(content, answer.place))
    if not records:
        raise TrainingError(f"{answers} holds no finished answer to a request of {requests}.")
    return records


def eval_records(run: Path) -> list[Record]:
    """What an evaluation judged right, as it was asked: rejection sampling."""
    from mlx_magistral.evals.run.folder import read_problems, read_run, read_samples

    system = read_run(run)["identity"].get("recipe", {}).get("system")
    problems = read_problems(run)
    head = [{"role": "system", "content": system}] if system else []
    records = []
    for sample in read_samples(run):
        problem = problems.get((sample.task, sample.problem))
        # Shuffled choices are kept as the first sample was asked them.
        is_as_asked = problem is not None and (problem["kind"] != "choice" or sample.sample == 0)
        if problem is None or not sample.is_right or not is_as_asked or sample.limit:
            continue
        said = {"role": "assistant", "content": sample.answer, "reasoning": sample.thinking}
        messages = [*head, {"role": "user", "content": problem["prompt"]}, said]
        place = f"{run} {sample.task} {sample.problem} sample {sample.sample}"
        records.append(Record({"messages": messages}, place))
    if not records:
        raise TrainingError(f"{run}: no reply was judged right, so there is nothing to learn.")
    return records


def _named(name: str) -> tuple[list[Record], list[Record]]:
    path = Path(name).expanduser()
    if path.suffix in _TABLES and path.is_file():
        return list(_table(path)), []
    return read_data([path]) if path.exists() else (_hub(name), [])


def _said(message: dict[str, Any]) -> dict[str, Any]:
    kept = ("content", "reasoning", "reasoning_content", "tool_calls")
    found = {name: message[name] for name in kept if message.get(name)}
    # Servers write the thinking under two names; one says it all.
    if "reasoning" in found:
        found.pop("reasoning_content", None)
    return found


def _table(path: Path) -> Iterator[Record]:
    from mlx_magistral.evals.tasks.rows import read_rows

    for number, row in enumerate(read_rows(path), 1):
        yield Record(dict(row), f"{path}:{number}")


def _hub(name: str) -> list[Record]:
    from mlx_magistral.evals.tasks.hub_data import hub_files
    from mlx_magistral.hub.resolve import is_hub_id

    if not is_hub_id(name):
        raise UsageError(f"There is no file or folder {name}, and it is no data set of the hub.")
    try:
        way_out = "Or name a file with its chats."
        files = hub_files([name], _HUB_PATTERNS, None, most=_MOST_HUB_FILES, way_out=way_out)
    except MagistralError as error:
        raise TrainingError(f"{name} is no file here, and as a data set: {error}") from error
    records: list[Record] = []
    for path in files.paths:
        records += _table(path) if path.suffix in _TABLES else read_file(path)
    return records
