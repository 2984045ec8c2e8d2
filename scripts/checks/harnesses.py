#!/usr/bin/env python3
"""lm-eval and inspect-ai, unmodified, against `mlx-magistral serve nano`; their scores are checked.

They need many packages, so they live in an environment of their own:

    python -m venv harnesses && harnesses/bin/pip install "lm-eval[api]" inspect-ai openai
    scripts/checks/harnesses.py --python harnesses/bin/python

Twelve sums in two wordings; each harness must find at least eleven right and no error.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

SUMS = [(a, b) for a in (37, 58, 123, 640) for b in (48, 9, 215)]
LEAST = 11

LM_EVAL_TASK = """
task: nano_sums
dataset_path: json
dataset_kwargs:
  data_files: {data}
test_split: train
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  until: []
  max_gen_toks: 400
  do_sample: true
  temperature: 0.7
filter_list:
  - name: boxed
    filter:
      - function: regex
        regex_pattern: 'boxed\\{{(\\d+)\\}}'
        group_select: -1
      - function: take_first
metric_list:
  - metric: exact_match
"""

INSPECT_TASK = """
import json
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

@task
def nano_sums():
    samples = []
    for row in map(json.loads, open({data!r})):
        samples.append(Sample(input=row["question"], target="boxed{{" + row["answer"] + "}}"))
    return Task(dataset=samples, solver=generate(), scorer=includes())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="The harnesses' interpreter.")
    options = parser.parse_args()
    bin = Path(options.python).absolute().parent
    with tempfile.TemporaryDirectory() as name, served() as address:
        folder = Path(name)
        data = folder / "sums.jsonl"
        rows = [{"question": f"What is {a} + {b}?", "answer": str(a + b)} for a, b in SUMS]
        data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        found = {
            "lm-eval": lm_eval(bin, folder, data, address),
            "inspect-ai": inspect(bin, folder, data, address),
        }
    for harness, right in found.items():
        print(f"{harness}: {right} of {len(SUMS)} right")
    sys.exit(min(found.values()) < LEAST)


@contextlib.contextmanager
def served() -> Iterator[str]:
    """nano's server on a free port; its address."""
    command = [sys.executable, "-m", "mlx_magistral", "serve", "nano", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = next(
            word.rstrip("/.,")
            for line in process.stdout
            for word in line.split()
            if word.startswith("http://127.")
        )
        address = address.partition("/v1")[0]
        try:
            urllib.request.urlopen(f"{address}/health", timeout=60).close()
            yield address
        finally:
            process.terminate()


def lm_eval(bin: Path, folder: Path, data: Path, address: str) -> int:
    """Right answers by lm-eval's local-chat-completions."""
    (folder / "nano_sums.yaml").write_text(LM_EVAL_TASK.format(data=data))
    arguments = (
        f"model=nano,base_url={address}/v1/chat/completions,num_concurrent=4,max_retries=1,"
        "tokenized_requests=False"
    )
    command = [str(bin / "lm_eval"), "run", "--model", "local-chat-completions"]
    command += ["--model_args", arguments, "--tasks", "nano_sums", "--include_path", str(folder)]
    command += ["--apply_chat_template", "--output_path", str(folder / "out")]
    run(command, {"OPENAI_API_KEY": "none", "HF_HOME": str(folder / "hub")})
    (results,) = (folder / "out").rglob("results_*.json")
    metrics: dict[str, float] = json.loads(results.read_text())["results"]["nano_sums"]
    return round(metrics["exact_match,boxed"] * len(SUMS))


def inspect(bin: Path, folder: Path, data: Path, address: str) -> int:
    """Right answers by inspect-ai's provider for any server of OpenAI's protocol."""
    (folder / "sums.py").write_text(INSPECT_TASK.format(data=str(data)))
    command = [str(bin / "inspect"), "eval", "sums.py", "--model", "openai-api/local/nano"]
    command += ["--log-dir", "logs", "--log-format", "json", "--display", "none"]
    command += ["--max-connections", "4", "--temperature", "0.7", "--max-tokens", "400"]
    run(command, {"LOCAL_BASE_URL": f"{address}/v1", "LOCAL_API_KEY": "none"}, folder)
    (log,) = (folder / "logs").glob("*.json")
    content = json.loads(log.read_text())
    assert content["status"] == "success", content.get("error")
    thinking = [
        part["type"] == "reasoning"
        for sample in content["samples"]
        for part in sample["output"]["choices"][0]["message"]["content"]
        if isinstance(part, dict)
    ]
    assert any(thinking), "inspect-ai has lost the thinking"
    return sum(sample["scores"]["includes"]["value"] == "C" for sample in content["samples"])


def run(command: list[str], environment: dict[str, str], folder: Path | None = None) -> None:
    """Run a harness; what it says is shown where it fails."""
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:3])} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


if __name__ == "__main__":
    main()
