"""A conversion from start to end: look, plan, convert shard by shard, describe, publish.

    source -> plan -> [read ahead -> quantize -> shard]* -> side files -> manifest -> OUTPUT

Plain memory is a few row blocks, whatever the model's size; with calibration it is what
calibration.py says. Each step leaves the disk in a state that the same command can go on from.
"""

import shutil
import time
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

from mlx_magistral.errors import ConversionError
from mlx_magistral.hub.cache import hub_origin
from mlx_magistral.version import __version__

from .calibration.calibration import Calibration
from .calibration.data import CalibrationText
from .calibration.estimate import calibration_seconds
from .calibration.memory import calibration_bytes, hidden_bytes
from .calibration.mix_choice import resolve_mix
from .checks import SPARE_BYTES, check_conversion
from .compare import compare_models
from .memory import PLAIN_MEMORY_BYTES, peak_memory_bytes, readable_bytes
from .output.files import write_file
from .output.folder import TOKENIZER_FILE, write_side_files
from .output.journal import Journal, disk_error
from .output.manifest import MANIFEST_FILE, Manifest, ShardRecord, read_manifest
from .output.plan import DEFAULT_SHARD_BYTES, ConversionPlan, ShardPlan, plan_conversion
from .output.report import worst_tensors, write_model_card
from .output.shard_job import convert_shard
from .output.shards import Fault
from .output.written import WrittenTensors
from .progress import ConversionReport, Forecast, Watcher
from .recipe import Method, Recipe
from .sources.kinds import open_source
from .sources.source import Source

_NO_TOKENIZER = (
    "there is no tekken.json beside the source, so the output will not generate before it gets "
    "one; --tokenizer FILE gives it"
)


def convert_checkpoint(
    source: Source,
    output: Path,
    recipe: Recipe,
    *,
    text: CalibrationText | None = None,
    tokenizer: Path | None = None,
    restart: bool = False,
    shard_bytes: int | None = None,
    watcher: Watcher | None = None,
    fault: Fault = lambda step: None,
) -> ConversionReport:
    """Write ``source`` as the MLX folder ``output``, going on from where a killed run stopped.

    ``text`` is what every method but plain needs; ``tokenizer`` replaces the tekken.json beside the
    source. The folder appears under its name only when it is complete. Raises ConversionError where
    it cannot start or go on; what is finished by then is kept in ``output`` + ".partial".
    """
    begun = time.monotonic()
    check_conversion(source, output, recipe, text=text)
    if shard_bytes is None:
        # With calibration a layer costs minutes, so each is a shard of its own and survives a kill.
        shard_bytes = DEFAULT_SHARD_BYTES if text is None else 1
    identity = {
        "source": {**source.description, "changed": source.modification_times},
        "recipe": recipe.to_json(),
        "shard size": shard_bytes,
        "calibration text": None if text is None else text.sha256,
        "version of this tool": __version__,
    }
    journal = Journal(output, identity, fault)
    resumed: int | None = None
    try:
        if not journal.open(restart=restart):
            watcher = watcher or Watcher()
            formats = resolve_mix(source, recipe, text, journal, watcher)
            recipe = replace(recipe, overrides={**formats, **recipe.overrides})
            plan = plan_conversion(source.shapes, recipe, shard_bytes)
            work = _Conversion(source, recipe, plan, text, tokenizer, journal, watcher, fault)
            resumed = work.run()
            journal.publish()
    except OSError as error:
        raise disk_error(error, output) from error
    finally:
        journal.close()
    return _report(output, resumed, time.monotonic() - begun)


class _Conversion:
    """The steps between an open journal and a folder to publish."""

    def __init__(
        self,
        source: Source,
        recipe: Recipe,
        plan: ConversionPlan,
        text: CalibrationText | None,
        tokenizer: Path | None,
        journal: Journal,
        watcher: Watcher,
        fault: Fault,
    ) -> None:
        self._source = source
        self._recipe = recipe
        self._plan = plan
        self._text = text
        self._tokenizer = tokenizer
        self._journal = journal
        self._watcher = watcher
        self._fault = fault
        self._has_curvature = recipe.method is Method.CALIBRATED
        self._records: dict[str, ShardRecord] = {}
        self._modification_times = source.modification_times

    def run(self) -> int:
        """Convert the rest, measure and describe the whole; return how many shards were done."""
        self._find_finished()
        resumed = len(self._records)
        self._check_disk()
        self._watcher.foretold(
            Forecast(
                self._plan,
                self._source.nbytes,
                self._memory_bytes(),
                self._warnings(),
                self._seconds(),
            )
        )
        self._watcher.resumed(resumed, self._finished_weights())
        unfinished = [each for each in self._plan.shards if each.file not in self._records]
        calibration = self._calibration()
        if calibration is not None and unfinished:
            calibration.prepare()
        for shard in unfinished:
            self._convert(shard, calibration)
        self._require_unchanged_source()
        self._describe()
        return resumed

    def _warnings(self) -> tuple[str, ...]:
        has_tokenizer = (self._source.folder / TOKENIZER_FILE).is_file()
        if self._tokenizer is None and not has_tokenizer:
            return (*self._source.warnings, _NO_TOKENIZER)
        return self._source.warnings

    def _find_finished(self) -> None:
        for shard in self._plan.shards:
            record = self._journal.finished_shard(shard.file)
            if record is not None:
                self._records[shard.file] = record

    def _finished_weights(self) -> int:
        finished = [shard for shard in self._plan.shards if shard.file in self._records]
        return sum(prod(tensor.shape) for shard in finished for tensor in shard.tensors)

    def _check_disk(self) -> None:
        todo = [shard.nbytes for shard in self._plan.shards if shard.file not in self._records]
        needed = SPARE_BYTES + sum(todo)
        if self._text is not None:
            # The old hidden states are kept until the next are safe.
            tokens, has_curvature = self._text.calibration.size, self._has_curvature
            needed += 2 * hidden_bytes(self._source.config, tokens, has_curvature=has_curvature)
        free = shutil.disk_usage(self._journal.folder).free
        if free < needed:
            raise ConversionError(
                f"{self._journal.folder.parent} has {readable_bytes(free)} free and the conversion "
                f"still needs {readable_bytes(needed)}. Free some space or choose another disk."
            )

    def _memory_bytes(self) -> int:
        if self._text is None or self._recipe.method is Method.PLAIN:
            return PLAIN_MEMORY_BYTES
        tokens = self._text.calibration.size
        return calibration_bytes(self._source.config, tokens, has_curvature=self._has_curvature)

    def _seconds(self) -> float | None:
        """What calibration will take for the weights not yet done."""
        if self._text is None or self._recipe.method is Method.PLAIN:
            return None
        tokens, (_, length) = self._text.calibration.size, self._text.calibration.shape
        whole = calibration_seconds(self._source.config, self._recipe, tokens, length)
        return whole * (1 - self._finished_weights() / self._plan.weights)

    def _calibration(self) -> Calibration | None:
        if self._text is None or self._recipe.method is Method.PLAIN:
            return None
        model = self._journal.model_folder
        return Calibration(
            self._source,
            self._text.calibration,
            self._recipe,
            self._journal.records_folder,
            written=WrittenTensors(model, self._plan) if self._has_curvature else None,
            watcher=self._watcher,
            fault=self._fault,
        )

    def _convert(self, shard: ShardPlan, calibration: Calibration | None) -> None:
        record = convert_shard(
            self._source,
            shard,
            self._recipe,
            self._journal.model_folder,
            calibration,
            self._watcher,
            self._fault,
        )
        if calibration is not None:
            # Before the record: a shard that counts as done has its successor's input on the disk.
            calibration.finish_shard()
        self._journal.record_shard(shard.file, record)
        self._records[shard.file] = record

    def _require_unchanged_source(self) -> None:
        """A file replaced while it was read would leave half of each model in the output."""
        if self._source.modification_times != self._modification_times:
            raise ConversionError(
                f"{self._source.folder} changed while it was converted. Run the command again with "
                "--restart when it is at rest."
            )

    def _describe(self) -> None:
        """Write all that is not weights; conversion.json, which hashes every file, is the last."""
        folder, recipe, plan = self._journal.model_folder, self._recipe, self._plan
        files = write_side_files(folder, self._source, plan, recipe, self._fault, self._tokenizer)
        quality = self._measure()
        # In the plan's order, whichever run finished which shard.
        shards = {shard.file: self._records[shard.file] for shard in plan.shards}
        # A hub's repository and commit, where it came from there: names, not paths.
        description = self._source.description | hub_origin(self._source.folder)
        card = write_model_card(plan, recipe, description, shards, quality, __version__)
        files["README.md"] = write_file(folder / "README.md", card.encode(), self._fault)
        manifest = Manifest(
            tool={"name": "mlx-magistral", "version": __version__},
            source=description,
            recipe=recipe.to_json(),
            bits_per_weight=float(f"{plan.bits_per_weight:.6g}"),
            quality=quality,
            files=files,
            shards=shards,
        )
        write_file(folder / MANIFEST_FILE, manifest.encode(), self._fault)

    def _measure(self) -> dict[str, Any]:
        """Source against result on text that the calibration did not see."""
        if self._text is None:
            return {}
        result = open_source(self._journal.model_folder)
        held_out, kinds = self._text.held_out, self._text.held_out_kinds
        return compare_models(self._source, result, held_out, self._watcher, kinds=kinds).summary()


def _report(output: Path, resumed: int | None, seconds: float) -> ConversionReport:
    """``resumed`` is None where a killed run had left nothing to do."""
    manifest = read_manifest(output)
    worst, record = worst_tensors(manifest.shards)[0]
    return ConversionReport(
        nbytes=sum(shard.nbytes for shard in manifest.shards.values()),
        bits_per_weight=manifest.bits_per_weight,
        seconds=seconds,
        peak_memory_bytes=peak_memory_bytes(),
        shards_resumed=len(manifest.shards) if resumed is None else resumed,
        shards=len(manifest.shards),
        worst_tensor=worst,
        worst_error=record.error,
        quality=manifest.quality,
    )
