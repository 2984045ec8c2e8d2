"""read_parts: what a model is made of, found, checked, planned for and read."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mlx_magistral.engine.drafting import DraftSize, draft_size
from mlx_magistral.engine.reading import ModelReader
from mlx_magistral.engine.turn import in_turn
from mlx_magistral.hub.examine import examine
from mlx_magistral.hub.resolve import default_model
from mlx_magistral.hub.tokenizer_source import find_tokenizer
from mlx_magistral.memory.plan import forced_note
from mlx_magistral.memory.runtime import MemoryOptions, ModelMemory
from mlx_magistral.model.adapters.adapter import Adapter
from mlx_magistral.model.adapters.reading import read_adapter
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.options import require_call, require_list, require_path
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer

NamedPath = str | Path


@dataclass(frozen=True)
class LoadOptions:
    """What to load; see ``Magistral.load``. Raises UsageError for what can name nothing."""

    model: NamedPath | None
    memory: MemoryOptions
    tokenizer: NamedPath | None
    draft: NamedPath | None
    adapter: NamedPath | None
    variants: Sequence[NamedPath]
    on_forced: Callable[[str], None] | None

    def __post_init__(self) -> None:
        for name in ("model", "tokenizer", "draft", "adapter"):
            require_path(name, getattr(self, name))
        require_list("variants", self.variants)
        for each in self.variants:
            require_path("variants", each)
        require_call("on_forced", self.on_forced)


class Parts(NamedTuple):
    """A model's parts, read."""

    name: str
    model: Transformer
    config: ModelConfig
    tokenizer: Tokenizer
    memory: ModelMemory
    folder: Path
    adapter: Adapter | None
    variants: list[Adapter]
    draft: str | None
    reader: ModelReader


def read_parts(options: LoadOptions, reader: ModelReader) -> Parts:
    """Plan the memory before weights are read; raises as ``Magistral.load`` says."""
    name = default_model() if options.model is None else str(options.model)
    given = None if options.tokenizer is None else Path(options.tokenizer)
    draft = None if options.draft is None else str(options.draft)
    # The vocabulary of a model on this disk is checked where it is read, in the thread below.
    examined = examine(name, tokenizer=given, reads_tokenizer=False)
    checkpoint, folder = examined.checkpoint, examined.folder
    examined.require_tokenizer()
    tekken = find_tokenizer(folder) if given is None else given
    beside = DraftSize() if draft is None else draft_size(draft, checkpoint)
    others = [_mapped(each) for each in options.variants]
    wanted = replace(
        options.memory,
        draft_bytes=beside.nbytes,
        draft_token_bytes=beside.token_bytes,
        adapter=None if options.adapter is None else _mapped(options.adapter),
        beside_bytes=sum(each.nbytes for each in others),
    )
    if examined.repository is not None:
        # Refuses what does not fit before it is downloaded; prefixes go by the weights.
        reader.plan(checkpoint, replace(wanted, reuse_prefixes=False))
        examined.fetch()
    memory = reader.plan(checkpoint, wanted)
    if options.on_forced is not None and not memory.plan.fits:
        options.on_forced(forced_note(memory.plan))
    # Reading the vocabulary is Python work and mapping the weights is not: do both at once.
    with ThreadPoolExecutor(max_workers=1) as pool:
        pending = pool.submit(load_tokenizer, folder, tekken)
        model = in_turn(lambda: reader.read(checkpoint, wanted.adapter))
        tokenizer = pending.result()
    config, adapter = checkpoint.config, wanted.adapter
    return Parts(name, model, config, tokenizer, memory, folder, adapter, others, draft, reader)


def _mapped(folder: NamedPath) -> Adapter:
    """An adapter whose arrays belong to the thread that reads them (turn.py)."""
    return in_turn(lambda: read_adapter(folder))
