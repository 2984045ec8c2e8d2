#!/usr/bin/env python3
"""Make `nano`, the small reasoning model inside mlx-magistral: tokenizer, training, evaluation.

nano has Magistral's architecture, tokenizer format and prompt layout with 1.2 million parameters,
and does small sums with its scratch work written in [THINK]. This script needs, beside the
repository: torch, numpy, safetensors, regex and mistral-common. The package never imports it.

    train_nano.py tokenizer             # tekken.json, params.json, SYSTEM_PROMPT.txt
    train_nano.py train --work-dir RUN  # about 95 minutes on one CPU core; resumable
    train_nano.py export --work-dir RUN # last checkpoint -> consolidated.safetensors
    train_nano.py evaluate              # on unseen problems -> evaluation.json

One thread is fastest. On Linux, MALLOC_MMAP_MAX_=0 and MALLOC_TRIM_THRESHOLD_=20000000000 in the
environment save the time that goes into giving memory back and forth.
"""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

import torch
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from nano_data import report
from nano_data.batches import MIX, Batcher, conversation
from nano_data.chat import SYSTEM_PARTS, Encoder, as_request
from nano_data.evaluation import accuracy, cases_of, last_case, rounded, run_cases
from nano_data.files import read_model, read_training, write_settings, write_weights
from nano_data.model import Nano, NanoConfig
from nano_data.stories import WORDS
from nano_data.tokenizer import write_tokenizer
from nano_data.training import Plan, Progress, Trainer

MODEL_DIR = Path(__file__).resolve().parents[2] / "mlx_magistral" / "nano"


def main() -> None:
    """Parse the command line and hand over."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model-dir", type=Path, default=MODEL_DIR, help="the shipped files")
    parser.add_argument("--seed", type=int, default=2507)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("tokenizer", help="write tekken.json, params.json and SYSTEM_PROMPT.txt")
    train = commands.add_parser("train", help="train, or go on from the last checkpoint")
    train.add_argument("--work-dir", type=Path, required=True, help="checkpoints")
    train.add_argument("--minutes", type=float, default=95.0, help="in all, over all runs")
    train.add_argument("--muon-rate", type=float, default=Plan.muon_rate)
    train.add_argument("--mix", default="", help="weights to change, such as sorting=12,talk=5")
    export = commands.add_parser("export", help="write the weights of the last checkpoint")
    export.add_argument("--work-dir", type=Path, required=True)
    evaluate = commands.add_parser("evaluate", help="measure the shipped files on unseen problems")
    evaluate.add_argument("--count", type=int, default=400, help="problems a task")
    evaluate.add_argument("--note", default="", help="a remark on the training, kept in the report")
    evaluate.add_argument("--split", choices=("tune", "test"), default="test")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    {
        "tokenizer": _tokenizer,
        "train": _train,
        "export": _export,
        "evaluate": _evaluate,
    }[arguments.command](arguments)


def check_encoding(tokenizer_path: Path, encoder: Encoder, count: int) -> None:
    """Our fast assembly gives exactly mistral-common's ids, for `count` conversations a kind."""
    library = MistralTokenizer.from_file(tokenizer_path)
    rng = random.Random(count)
    for kind in MIX:
        for _ in range(count):
            drawn = conversation(rng, kind, "train")
            sample = encoder.encode(drawn)
            case = last_case(sample)
            prompt = encoder.prefix + case.prompt if sample.has_prefix else case.prompt
            theirs = library.encode_chat_completion(as_request(drawn)).tokens
            if prompt != theirs:
                raise SystemExit(f"ids differ from mistral-common's ({kind}): {drawn}")


def _tokenizer(arguments: argparse.Namespace) -> None:
    arguments.model_dir.mkdir(parents=True, exist_ok=True)
    path = arguments.model_dir / "tekken.json"
    pieces = write_tokenizer(path, _corpus(arguments.seed), SYSTEM_PARTS, set(WORDS))
    write_settings(NanoConfig(), arguments.model_dir)
    print(f"{path}: the most frequent of {pieces} pieces")


def _corpus(seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    for _ in range(40_000):
        drawn = conversation(rng, rng.choices(list(MIX), list(MIX.values()))[0], "train")
        for turn in drawn.turns:
            yield from (turn.user, turn.answer)
            if turn.think.isascii() and ":" not in turn.think:
                yield turn.think
        yield from ([drawn.system] if drawn.system else [])
        yield from ([json.dumps(drawn.tools, ensure_ascii=False)] if drawn.tools else [])


def _train(arguments: argparse.Namespace) -> None:
    tokenizer_path = arguments.model_dir / "tekken.json"
    encoder = Encoder(Tekkenizer.from_file(tokenizer_path))
    check_encoding(tokenizer_path, encoder, 200)
    changed = (item.split("=") for item in arguments.mix.split(",") if item)
    mix = MIX | {kind: int(weight) for kind, weight in changed}
    plan = Plan(minutes=arguments.minutes, muon_rate=arguments.muon_rate)
    model = Nano(NanoConfig())
    trainer = Trainer(model, encoder.prefix, Batcher(encoder, arguments.seed, mix), plan)
    arguments.work_dir.mkdir(parents=True, exist_ok=True)
    if trainer.resume(arguments.work_dir / "checkpoint.pt"):
        print(f"going on from step {trainer.progress.step}, minute {trainer.progress.minutes:.1f}")
    size = sum(parameter.numel() for parameter in model.parameters())
    print(f"{size:,} parameters, {plan.minutes:.0f} minutes in all, mix {mix}", flush=True)

    def quick_check() -> str:
        return _quick_check(model, encoder, trainer.progress.step)

    def ship() -> None:
        write_weights(model, arguments.model_dir, _training_facts(trainer.progress, arguments.seed))

    trainer.run(arguments.work_dir, ship, quick_check)


def _training_facts(progress: Progress, seed: int) -> dict[str, str]:
    return {
        "steps": str(progress.step),
        "tokens": str(progress.tokens),
        "minutes": f"{progress.minutes:.1f}",
        "seed": str(seed),
    }


def _quick_check(model: Nano, encoder: Encoder, step: int) -> str:
    """Accuracy of 48 tuning problems a kind, with and without the system prompt in turn."""
    copy, parts = rounded(model), []
    for kind in MIX:
        official = step % 2 == 0
        cases = cases_of(encoder, kind, "tune", 48, step, official=official, language=None)
        parts.append(f"{kind} {accuracy(run_cases(copy, encoder, cases)):.0%}")
    return "tune: " + ", ".join(parts)


def _export(arguments: argparse.Namespace) -> None:
    state = torch.load(arguments.work_dir / "checkpoint.pt", weights_only=True)
    model = Nano(NanoConfig())
    model.load_state_dict(state["model"])
    progress = Progress(**state["progress"])
    write_weights(model, arguments.model_dir, _training_facts(progress, arguments.seed))
    print(f"wrote {arguments.model_dir}: {progress}")


def _evaluate(arguments: argparse.Namespace) -> None:
    encoder = Encoder(Tekkenizer.from_file(arguments.model_dir / "tekken.json"))
    model = read_model(arguments.model_dir)
    result = report.evaluate(model, encoder, arguments.split, arguments.count, arguments.seed)
    if arguments.split == "test":
        training = read_training(arguments.model_dir)
        result["notes"]["training"] = arguments.note
        report.write(result, training, model, arguments.model_dir / "evaluation.json")


if __name__ == "__main__":
    main()
