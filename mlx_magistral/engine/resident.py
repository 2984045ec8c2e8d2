"""ResidentModel: weights, tokenizer and memory plan of a model that was loaded.

What Magistral makes replies from. Weights can be given back and read again; models with adapters of
their own stand beside it and share them.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import mlx.core as mx

from mlx_magistral.decode.rules.guidance import Guidance, make_guidance
from mlx_magistral.decode.speculation.drafter import Drafter
from mlx_magistral.decode.speculation.pass_costs import PassCosts, costs_folder, fingerprint
from mlx_magistral.engine.drafting import load_draft
from mlx_magistral.engine.loading import Parts
from mlx_magistral.engine.planning import Messages, Prompt, plan_reply
from mlx_magistral.engine.progress import ReplyProgress
from mlx_magistral.engine.reading import ModelReader, WholeReader
from mlx_magistral.engine.turn import in_turn
from mlx_magistral.engine.variants import adapted_copy
from mlx_magistral.errors import UsageError
from mlx_magistral.hub.examine import refuse_vocabulary
from mlx_magistral.memory.prefixes.passes import prompt_marks
from mlx_magistral.memory.runtime import ModelMemory
from mlx_magistral.model.adapters.adapter import Adapter
from mlx_magistral.model.adapters.identity import base_identity
from mlx_magistral.model.checkpoint import open_checkpoint
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.text.tokenizer import Tokenizer


class ResidentModel:
    """A model in memory; what it answers is Magistral's business."""

    name: str
    """What it was loaded by: a folder, a hub id or ``nano``; a variant is NAME:ADAPTER."""

    config: ModelConfig
    """The architecture."""

    tokenizer: Tokenizer
    """Messages to ids, through mistral-common."""

    memory: ModelMemory
    """The plan, what it lowered (``note``), and the prompts that are kept."""

    load_s: float
    """Seconds that loading took."""

    adapter: Adapter | None
    """What was trained and is put around the weights, if anything."""

    variants: dict[str, Self]
    """Models with other adapters, by name; they share these weights, and go and come with them."""

    draft_model: Drafter | None
    """The smaller model or head that guesses ahead, if one was asked for."""

    def __init__(
        self,
        name: str,
        model: Transformer,
        config: ModelConfig,
        tokenizer: Tokenizer,
        memory: ModelMemory,
    ) -> None:
        refuse_vocabulary(tokenizer.vocab_size, config.vocab_size, name)
        self.name = name
        self._model: Transformer | None = model
        self.config = config
        self.tokenizer = tokenizer
        self.memory = memory
        memory.marks = prompt_marks(tokenizer)
        self.load_s = 0.0
        self._folder: Path | None = None
        self._reader: ModelReader = WholeReader()
        self.adapter = None
        self.variants = {}
        self._base: ResidentModel | None = None
        self.draft_model = None
        self._made_guidance: Guidance | None = None
        self._draft: str | None = None
        self._costs: PassCosts | None = None

    @classmethod
    def of(cls, parts: Parts) -> Self:
        """The model of what was read, with its draft and its variants."""
        loaded = cls(parts.name, parts.model, parts.config, parts.tokenizer, parts.memory)
        loaded._folder, loaded._reader = parts.folder, parts.reader
        loaded.adapter, loaded._draft = parts.adapter, parts.draft
        loaded._read_draft()
        loaded._add_variants(parts.variants)
        loaded._hold_wired()
        return loaded

    @property
    def model(self) -> Transformer:
        """The weights; raises UsageError where they were given back."""
        if self._model is None:
            raise UsageError(f"{self.name} was unloaded. Call reload() before using its weights.")
        return self._model

    @property
    def is_loaded(self) -> bool:
        """Whether the weights are in memory."""
        return self._model is not None

    @property
    def context_tokens(self) -> int:
        """Prompt and reply together: what was asked for, else 40,960 or the model's ceiling."""
        return self.memory.plan.context_tokens

    @property
    def pass_costs(self) -> PassCosts:
        """What passes cost here; read from disk once."""
        if self._costs is None:
            name = fingerprint(self.model, self.memory.new_cache(self.model))
            self._costs = PassCosts(name, costs_folder())
        return self._costs

    def begin(
        self,
        *,
        messages: Messages | None = None,
        prompt: Prompt | None = None,
        tools: Sequence[Any] | None = None,
        **options: Any,
    ) -> ReplyProgress:
        """A reply's account before anything is computed, for whoever drives its decode.

        The keywords are those of ``Magistral.stream``, and so is what it raises.
        """
        started = time.perf_counter()
        plan = plan_reply(self, messages, prompt, tools, options)
        return ReplyProgress(plan, self.tokenizer, self.load_s, started)

    def guidance(self) -> Guidance:
        """The vocabulary for grammars, made once: it takes a second for the full one."""
        if self._made_guidance is None:
            self._made_guidance = make_guidance(self.tokenizer)
        return self._made_guidance

    def unload(self) -> None:
        """Give back the memory of weights and kept prefixes until ``reload`` or the next reply."""
        every: list[ResidentModel] = [self, *self.variants.values()]
        for each in every:
            each._model = each.draft_model = None
            if each.memory.prefixes is not None:
                each.memory.prefixes.shrink(0)
        if self.memory.wired is not None:
            self.memory.wired.release()
        mx.clear_cache()

    def reload(self) -> None:
        """Read the weights again if they were given back; raises CheckpointError."""
        if self.is_loaded:
            return
        if self._base is not None:
            self._base.reload()
            return
        if self._folder is None:
            raise UsageError(f"{self.name} came from no folder to read again. Load it anew.")
        checkpoint = open_checkpoint(self._folder)
        self._model = in_turn(lambda: self._reader.read(checkpoint, self.adapter))
        self._read_draft()
        for each in self.variants.values():
            assert each.adapter is not None
            each._model = self._adapted(each.adapter)
            each.draft_model = self.draft_model
        self._hold_wired()

    def _add_variants(self: Self, adapters: Sequence[Adapter]) -> None:
        """Models of these adapters beside this one; raises AdapterError."""
        memories = self.memory.divided(adapters)
        for adapter, memory in zip(adapters, memories, strict=True):
            name = f"{self.name}:{adapter.name}"
            if name in self.variants:
                raise UsageError(f"Two adapters are named {adapter.name}. Rename a folder.")
            model = self._adapted(adapter)
            other = self.__class__(name, model, self.config, self.tokenizer, memory)
            other.adapter = adapter
            other._base = self
            other.draft_model = self.draft_model
            self.variants[name] = other

    def _adapted(self, adapter: Adapter) -> Transformer:
        assert self._folder is not None
        base = base_identity(open_checkpoint(self._folder))
        return in_turn(lambda: adapted_copy(self.model, adapter, base))

    def _read_draft(self) -> None:
        if self._draft is not None:
            draft = self._draft
            self.draft_model = in_turn(
                lambda: load_draft(draft, self.tokenizer, self.model, self.config)
            )

    def _hold_wired(self) -> None:
        if self.memory.wired is not None:
            self.memory.wired.hold()
