"""A conversion from start to end: look, plan, convert shard by shard, describe, publish.

    source -> plan -> [read ahead -> quantize -> shard]* -> side files -> manifest -> OUTPUT

Memory is bounded by a few row blocks, whatever the model's size. Each step leaves the disk in a
state that the same command can go on from.
"""

import errno
import shutil
import time
from math import prod
from pathlib import Path

from mlx_magistral.errors import ConversionError
from mlx_magistral.version import __version__

from .files import write_file
from .folder import write_side_files
from .journal import Journal
from .manifest import MANIFEST_FILE, Manifest, ShardRecord, read_manifest
from .memory import peak_memory_bytes
from .plan import DEFAULT_SHARD_BYTES, ConversionPlan, plan_conversion
from .progress import ConversionReport, Watcher
from .recipe import Recipe
from .report import worst_tensors, write_model_card
from .shard_job import convert_shard
from .shards import Fault
from .source import Source

# Headers, side files and the journal, generously.
_SPARE_BYTES = 64 << 20


def convert_checkpoint(
    source: Source,
    output: Path,
    recipe: Recipe,
    *,
    tokenizer: Path | None = None,
    restart: bool = False,
    shard_bytes: int = DEFAULT_SHARD_BYTES,
    watcher: Watcher | None = None,
    fault: Fault = lambda step: None,
) -> ConversionReport:
    """Write ``source`` as the MLX folder ``output``, going on from where a killed run stopped.

    ``tokenizer`` replaces the tekken.json beside the source.
    The folder appears under its name only when it is complete. Raises ConversionError where it
    cannot start or go on; what is finished by then is kept in ``output`` + ".partial".
    """
    begun = time.monotonic()
    watcher = watcher or Watcher()
    plan = plan_conversion(source.shapes, recipe, shard_bytes)
    identity = {
        "source": {**source.description, "changed": source.modification_times},
        "recipe": recipe.to_json(),
        "shard size": shard_bytes,
        "version of this tool": __version__,
    }
    journal = Journal(output, identity, fault)
    resumed = len(plan.shards)
    try:
        if not journal.open(restart=restart):
            records = _finished_shards(journal, plan)
            resumed = len(records)
            _check_disk(output, plan, records)
            watcher.planned(plan, source.nbytes, source.warnings)
            watcher.resumed(resumed, _weights(plan, records))
            for shard in plan.shards:
                if shard.file not in records:
                    folder = journal.model_folder
                    record = convert_shard(source, shard, recipe, folder, watcher, fault)
                    journal.record_shard(shard.file, record)
                    records[shard.file] = record
            _describe(source, plan, recipe, records, journal.model_folder, tokenizer, fault)
            journal.publish()
    except OSError as error:
        raise _disk_error(error, output) from error
    finally:
        journal.close()
    return _report(output, plan, resumed, time.monotonic() - begun)


def _describe(
    source: Source,
    plan: ConversionPlan,
    recipe: Recipe,
    records: dict[str, ShardRecord],
    folder: Path,
    tokenizer: Path | None,
    fault: Fault,
) -> None:
    """Write every file that is not weights; conversion.json, which hashes them all, is the last."""
    files = write_side_files(folder, source.folder, source.config, plan, recipe, fault, tokenizer)
    # In the plan's order, whichever run finished which shard.
    shards = {shard.file: records[shard.file] for shard in plan.shards}
    description = source.description
    card = write_model_card(plan, recipe, description, shards, {}, __version__)
    files["README.md"] = write_file(folder / "README.md", card.encode(), fault)
    manifest = Manifest(
        tool={"name": "mlx-magistral", "version": __version__},
        source=description,
        recipe=recipe.to_json(),
        bits_per_weight=float(f"{plan.bits_per_weight:.6g}"),
        quality={},
        files=files,
        shards=shards,
    )
    write_file(folder / MANIFEST_FILE, manifest.encode(), fault)


def _finished_shards(journal: Journal, plan: ConversionPlan) -> dict[str, ShardRecord]:
    found = ((shard.file, journal.finished_shard(shard.file)) for shard in plan.shards)
    return {file: record for file, record in found if record is not None}


def _weights(plan: ConversionPlan, records: dict[str, ShardRecord]) -> int:
    return sum(
        prod(tensor.shape)
        for shard in plan.shards
        if shard.file in records
        for tensor in shard.tensors
    )


def _check_disk(output: Path, plan: ConversionPlan, records: dict[str, ShardRecord]) -> None:
    needed = _SPARE_BYTES + sum(shard.nbytes for shard in plan.shards if shard.file not in records)
    free = shutil.disk_usage(output.parent).free
    if free < needed:
        raise ConversionError(
            f"{output.parent} has {free / 1e9:.1f} GB free and the conversion still needs "
            f"{needed / 1e9:.1f} GB. Free some space or choose another disk."
        )


def _report(output: Path, plan: ConversionPlan, resumed: int, seconds: float) -> ConversionReport:
    worst, record = worst_tensors(read_manifest(output).shards)[0]
    return ConversionReport(
        nbytes=plan.nbytes,
        bits_per_weight=plan.bits_per_weight,
        seconds=seconds,
        peak_memory_bytes=peak_memory_bytes(),
        shards_resumed=resumed,
        shards=len(plan.shards),
        worst_tensor=worst,
        worst_error=record.error,
    )


def _disk_error(error: OSError, output: Path) -> ConversionError:
    if error.errno == errno.ENOSPC:
        what = f"the disk of {output.parent} is full"
    else:
        what = f"{error.filename or output} failed: {error.strerror}"
    return ConversionError(
        f"The conversion stopped: {what}. Finished shards are kept in {output.name}.partial; run "
        "the same command again to go on."
    )
