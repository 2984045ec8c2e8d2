"""``mlx-magistral train``: an adapter for a model, from chats."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.sections import SectionedCommand
from mlx_magistral.cli.training import RunFlags, run_job, run_options, sessions_option
from mlx_magistral.errors import UsageError

if TYPE_CHECKING:
    from mlx_magistral.train.job import TrainRequest
    from mlx_magistral.train.options import TrainOptions

_PATH = click.Path(exists=True, path_type=Path)


class _Train(SectionedCommand):
    sections = {
        "Data": [
            "sessions",
            "batches",
            "evaluations",
            "valid",
            "valid_share",
            "loss",
            "raw_system",
            "max_tokens",
            "is_strict",
        ],
        "Method": ["is_dora", "is_full", "rank", "alpha", "num_layers"],
        "Steps": [
            *("iters", "epochs", "batch_size", "grad_accumulation_steps", "learning_rate"),
            *("warmup", "weight_decay", "clip", "eval_every", "patience", "save_every", "seed"),
        ],
        "Memory": ["grad_checkpoint", "optimizer_bits"],
        "Output": ["output", "with_peft", "restart", "is_dry", "as_json", "is_quiet", "is_verbose"],
    }


@click.command(cls=_Train)
@click.argument("model", shell_complete=complete_model)
@click.argument("data", nargs=-1)
@click.option(
    "--output",
    "-o",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The adapter's folder.",
)
@sessions_option
@click.option(
    "batches",
    "--from-batch",
    multiple=True,
    nargs=2,
    type=_PATH,
    metavar="REQUESTS ANSWERS",
    help="What `batch` read and wrote; repeatable.",
)
@click.option(
    "evaluations",
    "--from-eval",
    multiple=True,
    type=_PATH,
    metavar="RUN",
    help="What a run of `eval` judged right; repeatable.",
)
@click.option("--valid", multiple=True, help="Chats to validate on; repeatable.")
@click.option(
    "--valid-share",
    type=click.FloatRange(0, 0.5),
    default=0.05,
    show_default=True,
    help="Held out of DATA where there is no --valid.",
)
@click.option(
    "--loss",
    type=click.Choice(["all", "answer"]),
    default="all",
    show_default=True,
    help="Learn all that the assistant wrote, or all but its thinking.",
)
@click.option("--raw-system", is_flag=True, help="Leave the official system prompt out.")
@click.option(
    "max_tokens",
    "--max-seq-len",
    type=click.IntRange(2),
    help="Longer examples lose their end.  [default: the longest, up to the model's context]",
)
@click.option("is_strict", "--strict", is_flag=True, help="Refuse examples that would be cut.")
@click.option("is_dora", "--dora", is_flag=True, help="DoRA in place of LoRA.")
@click.option("is_full", "--full", is_flag=True, help="Train the weights themselves.")
@click.option("--rank", type=int, default=16, show_default=True)
@click.option("--alpha", type=float, default=32.0, show_default=True, help="Scale times rank.")
@click.option("--num-layers", type=int, default=-1, help="From the last one.  [default: -1, all]")
@click.option("--iters", type=int, help="Steps.  [default: one epoch]")
@click.option("--epochs", type=click.FloatRange(0, min_open=True), help="In place of --iters.")
@click.option("--batch-size", type=int, default=4, show_default=True, help="Examples in a pack.")
@click.option(
    "--grad-accumulation-steps", type=int, default=1, show_default=True, help="Packs in a step."
)
@click.option("--learning-rate", type=float, default=1e-4, show_default=True)
@click.option("--warmup", type=float, default=0.05, show_default=True, help="Share of the steps.")
@click.option("--weight-decay", type=float, default=0.01, show_default=True)
@click.option("--clip", type=float, default=1.0, show_default=True, help="Longest gradient.")
@click.option("--eval-every", type=int, default=50, show_default=True, help="Steps.")
@click.option("--patience", type=int, default=0, help="Stop after so many validations in vain.")
@click.option("--save-every", type=int, default=50, show_default=True, help="Steps.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same curve.")
@click.option(
    "--grad-checkpoint/--no-grad-checkpoint",
    default=None,
    help="One layer's activations at a time.  [default: where memory asks for it]",
)
@click.option("--optimizer-bits", type=click.Choice(["32", "8"]), default="32", show_default=True)
@click.option("with_peft", "--peft", is_flag=True, help="Write PEFT's form too, in OUTPUT/peft.")
@run_options
def command(model: str, data: tuple[str, ...], **options: Any) -> None:
    """Train an adapter for MODEL on DATA: files of chats, folders with a train.jsonl, or data sets
    of the hub.

    A line is {"messages": [...]} in OpenAI's shape with `reasoning`, tools and tool calls;
    {"prompt", "completion"}; or {"text"}. The same command goes on where a killed one stopped.

    \b
      mlx-magistral train magistral-4bit chats.jsonl -o my-adapter
      mlx-magistral generate -m magistral-4bit --adapter my-adapter "..."
    """
    from mlx_magistral.cli.fetching import fetch_named
    from mlx_magistral.cli.train_display import TrainDisplay, show_job
    from mlx_magistral.train.job import TrainingJob

    flags = RunFlags.taken_from(options)
    request = _request(model, data, options)
    fetch_named(model)
    job = TrainingJob(request)
    display = TrainDisplay(job.options.iters, **flags.shown)
    run_job(job, flags, lambda: show_job(job), display, request.folder)


def _request(model: str, data: tuple[str, ...], options: dict[str, Any]) -> "TrainRequest":
    from mlx_magistral.cli import train_data
    from mlx_magistral.train.example import LossOn
    from mlx_magistral.train.job import TrainRequest

    train, valid = train_data.data_records(data)
    train += train_data.session_records(options.pop("sessions"))
    for requests, answers in options.pop("batches"):
        train += train_data.batch_records(requests, answers)
    for run in options.pop("evaluations"):
        train += train_data.eval_records(run)
    named, _ = train_data.data_records(options.pop("valid"))
    if not train:
        raise UsageError("There is nothing to train on: name DATA.")
    if options["with_peft"] and options["is_full"]:
        raise UsageError("--peft writes LoRA and DoRA, and --full trains neither. Leave one out.")
    epochs = options.pop("epochs")
    if epochs is not None and options["iters"] is not None:
        raise UsageError("--epochs and --iters exclude each other. Leave one out.")
    if options["iters"] is None:
        epochs, options["iters"] = epochs or 1.0, 1
    checkpoint = options.pop("grad_checkpoint")
    return TrainRequest(
        model=model,
        train=train,
        valid=[*valid, *named],
        folder=options.pop("output"),
        epochs=epochs,
        grad_checkpoint=checkpoint,
        loss_on=LossOn(options.pop("loss")),
        **{name: options.pop(name) for name in _REQUEST_FIELDS},
        options=_options(options),
    )


_REQUEST_FIELDS = ("raw_system", "max_tokens", "valid_share", "is_strict", "with_peft")


def _options(options: dict[str, Any]) -> "TrainOptions":
    from mlx_magistral.train.options import Method, TrainOptions

    is_dora, is_full = options.pop("is_dora"), options.pop("is_full")
    if is_dora and is_full:
        raise UsageError("--dora and --full exclude each other. Leave one out.")
    method = Method.DORA if is_dora else Method.FULL if is_full else Method.LORA
    bits = int(options.pop("optimizer_bits"))
    return TrainOptions(method=method, optimizer_bits=bits, **options)
