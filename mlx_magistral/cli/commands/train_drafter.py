"""``mlx-magistral train-drafter``: a head that guesses ahead for a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_magistral.cli.model_names import complete_model
from mlx_magistral.cli.sections import SectionedCommand
from mlx_magistral.cli.training import RunFlags, run_job, run_options, sessions_option
from mlx_magistral.errors import UsageError

if TYPE_CHECKING:
    from mlx_magistral.train.drafter.job import DrafterRequest


class _TrainDrafter(SectionedCommand):
    sections = {
        "Data": ["data", "sessions", "temperature", "max_tokens", "width", "valid_share"],
        "How long": ["hours", "tokens"],
        "Head": ["unroll", "draft_vocab", "hidden_dim"],
        "Steps": ["pack_tokens", "learning_rate", "eval_every", "save_every", "seed"],
        "Memory": ["disk", "optimizer_bits"],
        "Output": ["restart", "is_dry", "as_json", "is_quiet", "is_verbose"],
    }


@click.command(cls=_TrainDrafter)
@click.argument("model", shell_complete=complete_model)
@click.argument("output", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--data", multiple=True, help="Files of chats or prompts, as `train` has; repeatable."
)
@sessions_option
@click.option("--temperature", type=click.FloatRange(0, 2), default=0.7, show_default=True)
@click.option(
    "--max-tokens", type=click.IntRange(8), default=2048, show_default=True, help="Of a reply."
)
@click.option(
    "width",
    "--max-batch",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Replies made at once.",
)
@click.option(
    "--valid-share",
    type=click.FloatRange(0, 0.5),
    default=0.05,
    show_default=True,
    help="Of the replies, held out to measure on; 64 at most.",
)
@click.option(
    "--hours",
    type=click.FloatRange(0, min_open=True),
    help="For all of it, replies in a third.  [default: 4 epochs]",
)
@click.option("--tokens", type=click.IntRange(1), help="Of replies to learn from, in all epochs.")
@click.option(
    "--unroll", type=int, default=4, show_default=True, help="Guesses of a chain, 3 to 5."
)
@click.option("--draft-vocab", type=int, default=16384, show_default=True, help="Ids it can say.")
@click.option("--hidden-dim", type=int, default=0, help="Of its MLP.  [default: by the width]")
@click.option(
    "--pack-tokens", type=int, default=1024, show_default=True, help="Tokens of a step at most."
)
@click.option(
    "--learning-rate",
    type=float,
    default=5e-4,
    show_default=True,
    help="Of AdamW; 20 times it of Muon.",
)
@click.option("--eval-every", type=int, default=100, show_default=True, help="Steps.")
@click.option("--save-every", type=int, default=100, show_default=True, help="Steps.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--disk",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="Gigabytes of hidden states that are kept meanwhile; 0 computes them each time.",
)
@click.option("--optimizer-bits", type=click.Choice(["32", "8"]), default="32", show_default=True)
@run_options
def command(model: str, output: Path, **options: Any) -> None:
    """Train an EAGLE-3 head for MODEL into OUTPUT, for --draft.

    MODEL answers the prompts itself, and the head learns to guess what it says. What it says does
    not change. The same command goes on where a killed one stopped.

    \b
      mlx-magistral train-drafter magistral-4bit my-head --data chats.jsonl --hours 8
      mlx-magistral generate -m magistral-4bit --draft my-head "..."
    """
    from mlx_magistral.cli.drafter_display import DrafterDisplay, show_drafter_job
    from mlx_magistral.cli.fetching import fetch_named
    from mlx_magistral.train.drafter.job import DrafterJob

    flags = RunFlags.taken_from(options)
    request = _request(model, output, options)
    fetch_named(model)
    job = DrafterJob(request)
    run_job(job, flags, lambda: show_drafter_job(job), DrafterDisplay(**flags.shown), output)


def _request(model: str, output: Path, options: dict[str, Any]) -> "DrafterRequest":
    from mlx_magistral.cli.train_data import data_records, session_records
    from mlx_magistral.train.drafter.job import DrafterRequest
    from mlx_magistral.train.drafter.options import DrafterOptions
    from mlx_magistral.train.drafter.replies import ReplyOptions

    if options["hours"] is not None and options["tokens"] is not None:
        raise UsageError("--hours and --tokens exclude each other. Leave one out.")
    records, more = data_records(options.pop("data"))
    records += more + session_records(options.pop("sessions"))
    if not records:
        raise UsageError("There is nothing to ask: name --data or --from-sessions.")
    seed = options["seed"]
    names = ("temperature", "max_tokens", "width")
    replies = ReplyOptions(seed=seed, **{name: options.pop(name) for name in names})
    kept = {name: options.pop(name) for name in ("hours", "tokens", "valid_share")}
    disk_bytes = round(options.pop("disk") * 1e9)
    options["optimizer_bits"] = int(options["optimizer_bits"])
    return DrafterRequest(
        model,
        records,
        output,
        DrafterOptions(**options),
        replies,
        disk_bytes=disk_bytes,
        **kept,
    )
