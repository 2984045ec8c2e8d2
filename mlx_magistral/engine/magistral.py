"""Magistral: load a model once, then stream or generate replies.

Joins the parts and holds no algorithm: it checks what is asked for, makes the prompt's ids, and
hands over to a ReplyStream. It owns weights, tokenizer and the memory plan.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import mlx.core as mx

from mlx_magistral.decode.generate import OnPrefill
from mlx_magistral.decode.rules.control import ControlOptions
from mlx_magistral.decode.rules.guidance import Guidance, make_guidance
from mlx_magistral.decode.rules.structure import answer_check, structure_rules
from mlx_magistral.decode.sampling import SamplingOptions
from mlx_magistral.decode.speculation.draft_model import DraftModel
from mlx_magistral.decode.speculation.drafts import SpeculateOption
from mlx_magistral.decode.speculation.pass_costs import PassCosts, costs_folder, fingerprint
from mlx_magistral.engine.drafting import draft_bytes, draft_token_bytes, load_draft
from mlx_magistral.engine.progress import ReplyPlan
from mlx_magistral.engine.streaming import ReplyStream
from mlx_magistral.engine.tool_rounds import answer_with_tools
from mlx_magistral.engine.turn import in_turn
from mlx_magistral.engine.variants import adapted_copy
from mlx_magistral.errors import ContextLengthError, UsageError
from mlx_magistral.events import Reply
from mlx_magistral.hub.examine import examine, refuse_vocabulary
from mlx_magistral.hub.resolve import default_model
from mlx_magistral.hub.tokenizer_source import find_tokenizer
from mlx_magistral.memory.plan import forced_note
from mlx_magistral.memory.prefixes.passes import prompt_marks
from mlx_magistral.memory.runtime import MemoryOptions, ModelMemory, plan_memory
from mlx_magistral.model.adapters.adapter import Adapter
from mlx_magistral.model.adapters.identity import base_identity
from mlx_magistral.model.adapters.placing import place_adapter
from mlx_magistral.model.adapters.reading import read_adapter
from mlx_magistral.model.checkpoint import Checkpoint, open_checkpoint
from mlx_magistral.model.config import ModelConfig
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import build_model, read_weights
from mlx_magistral.options import require_whole
from mlx_magistral.text.functions import openai_tools
from mlx_magistral.text.raw_prompt import raw_prompt
from mlx_magistral.text.tokenizer import Tokenizer, load_tokenizer

Messages = str | Sequence[Any]


class Magistral:
    """A loaded model: weights, tokenizer and name. Make one with ``Magistral.load``."""

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
        self.adapter: Adapter | None = None
        # By NAME:ADAPTER; they share these weights, and are given back and read with them.
        self.variants: dict[str, Magistral] = {}
        self._base: Magistral | None = None
        self.draft_model: DraftModel | None = None
        self._made_guidance: Guidance | None = None
        self._draft: str | None = None
        self._costs: PassCosts | None = None

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        *,
        kv_bits: int | None = None,
        context_tokens: int | None = None,
        reuse_prefixes: bool = False,
        wired_bytes: int | Literal["auto"] | None = None,
        tokenizer: str | Path | None = None,
        draft: str | Path | None = None,
        adapter: str | Path | None = None,
        variants: Sequence[str | Path] = (),
        force: bool = False,
        on_forced: Callable[[str], None] | None = None,
    ) -> "Magistral":
        """Load a folder, a hub id or ``"nano"``; None is the default (see default_model).

        Memory is planned before weights are read; ``memory.note`` says what the plan lowered. The
        keywords are those of MemoryOptions; ``tokenizer`` is a tekken.json for a folder that has
        none and whose card names no base model; ``draft`` is a smaller model of the same vocabulary
        that guesses ahead (see ``speculate`` of stream). ``adapter`` is a folder that train, mlx-lm
        or PEFT wrote for this model; ``variants`` are such folders for models beside this one that
        share its weights (``variants`` of the result). ``force`` loads although the plan refuses,
        after ``on_forced`` was told by how much. Raises UsageError for an option that cannot
        be, before anything is looked for; SettingsError, ModelNotFoundError, HubError,
        CheckpointError, TokenizerError, AdapterError; MissingExtraError for a draft that needs
        mlx-lm; and MemoryPlanError where the context does not fit.
        """
        started = time.perf_counter()
        wanted = MemoryOptions(
            kv_bits=kv_bits,
            context_tokens=context_tokens,
            reuse_prefixes=reuse_prefixes,
            wired_bytes=wired_bytes,
            force=force,
        )
        name = default_model() if model is None else str(model)
        given = None if tokenizer is None else Path(tokenizer)
        # The vocabulary of a model on this disk is checked where it is read, in the thread below.
        examined = examine(name, tokenizer=given, reads_tokenizer=False)
        checkpoint, folder = examined.checkpoint, examined.folder
        examined.require_tokenizer()
        tekken = find_tokenizer(folder) if given is None else given
        wanted = replace(
            wanted,
            draft_bytes=0 if draft is None else draft_bytes(str(draft)),
            draft_token_bytes=0 if draft is None else draft_token_bytes(str(draft)),
            adapter=None if adapter is None else read_adapter(adapter),
        )
        others = [read_adapter(each) for each in variants]
        wanted = replace(wanted, beside_bytes=sum(each.nbytes for each in others))
        if examined.repository is not None:
            # Refuses what does not fit before it is downloaded; prefixes go by the weights.
            plan_memory(checkpoint, replace(wanted, reuse_prefixes=False))
            examined.fetch()
        memory = plan_memory(checkpoint, wanted)
        if on_forced is not None and not memory.plan.fits:
            on_forced(forced_note(memory.plan))
        # Reading the vocabulary is Python work and mapping the weights is not: do both at once.
        with ThreadPoolExecutor(max_workers=1) as pool:
            pending_tokenizer = pool.submit(load_tokenizer, folder, tekken)
            weights = in_turn(lambda: _read_model(checkpoint, wanted.adapter))
            loaded_tokenizer = pending_tokenizer.result()
        loaded = cls(name, weights, checkpoint.config, loaded_tokenizer, memory)
        loaded._folder = folder
        loaded.adapter = wanted.adapter
        loaded._draft = None if draft is None else str(draft)
        loaded._read_draft()
        loaded._add_variants(others)
        loaded._hold_wired()
        loaded.load_s = time.perf_counter() - started
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

    def stream(
        self,
        messages: Messages | None = None,
        *,
        prompt: str | Sequence[int] | None = None,
        tools: Sequence[Any] | None = None,
        raw_system: bool = False,
        thinking: Literal["auto", "force", "skip"] = "auto",
        max_tokens: int | None = None,
        stop: str | Sequence[str] = (),
        logprobs: int | None = None,
        speculate: str | int = "auto",
        on_prefill: OnPrefill | None = None,
        **options: Any,
    ) -> "ReplyStream":
        """Start a reply; iterate over the result for its events.

        ``messages`` is a text (one user message) or a list of OpenAI dicts or mistral-common
        messages. ``raw_system=True`` sends exactly the system messages given, without the official
        prompt. A last assistant message with ``"prefix": True`` is the beginning of the reply, its
        ``reasoning`` alone that of the thinking: the reply goes on there. ``prompt`` takes the
        place of messages: a text or ids that the model goes on from, with no template around it.
        ``max_tokens`` bounds thinking and answer together (default: the rest of the context). The
        answer ends where it comes to ``stop``, or one of several, which is not part of it.
        ``logprobs`` is how many alternatives to report with each id of a delta, None for none.
        ``speculate`` is ``auto``, ``off`` or how many ids to guess at a time: text that repeats
        then takes fewer passes and gives the same ids. The other keywords are those of
        SamplingOptions and ControlOptions. Raises PromptError, ContextLengthError or UsageError
        before anything is computed.
        """
        started = time.perf_counter()
        sampling, control = _split(options)
        sampling.require_ids(self.tokenizer.vocab_size)
        begun = None if messages is None else self.tokenizer.begun_part(messages)
        if control.think_budget == 0:
            if thinking == "force":
                raise UsageError("think_budget=0 skips the thinking, so it cannot be forced.")
            thinking = "auto" if begun else "skip"
        tool_schemas = openai_tools(tools)
        if prompt is not None:
            if messages is not None or tool_schemas:
                raise UsageError("A raw prompt takes no messages and no tools.")
            tokens, thinking = raw_prompt(prompt, self.tokenizer, thinking)
        else:
            chat = "" if messages is None else messages
            tokens = self.tokenizer.encode_chat(
                chat, tools=tool_schemas, raw_system=raw_system, thinking=thinking
            )
        limit = self._room_for_reply(len(tokens), max_tokens)
        rules = structure_rules(
            control, self.tokenizer, tool_schemas, thinking, self._guidance, limit
        )
        if begun and (control.answer_schema or control.tool_choice not in ("auto", "none")):
            raise UsageError(
                "Answers under a schema or a tool choice start at their beginning: leave out the "
                "assistant message that is a prefix."
            )
        is_open = thinking == "force" or begun == "thinking"
        guesses = SpeculateOption.parse(speculate)
        plan = ReplyPlan(
            tokens,
            sampling,
            control,
            limit,
            is_open,
            rules,
            _as_tuple(stop),
            logprobs,
            guesses,
            answer_check(control, tool_schemas),
        )
        return ReplyStream(self, plan, on_prefill, started)

    def generate(
        self,
        messages: Messages,
        *,
        tools: Sequence[Any] | None = None,
        max_tool_rounds: int = 8,
        **options: Any,
    ) -> Reply:
        """The whole reply; the other keywords are those of ``stream``.

        ``tools`` that are Python functions are called and their results given to the model, which
        goes on until it answers, ``max_tool_rounds`` times at most. Tools given as dicts are the
        caller's to run: the reply ends with TOOL_CALLS.
        """
        return answer_with_tools(
            self.stream, messages, tools, max_rounds=max_tool_rounds, name=self.name, **options
        )

    def unload(self) -> None:
        """Give back the memory of weights and kept prefixes until ``reload`` or the next reply."""
        for each in (self, *self.variants.values()):
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
        self._model = in_turn(lambda: _read_model(checkpoint, self.adapter))
        self._read_draft()
        for each in self.variants.values():
            assert each.adapter is not None
            each._model = self._adapted(each.adapter)
            each.draft_model = self.draft_model
        self._hold_wired()

    def _add_variants(self, adapters: Sequence[Adapter]) -> None:
        """Models of these adapters beside this one; raises AdapterError."""
        memories = self.memory.divided(adapters)
        for adapter, memory in zip(adapters, memories, strict=True):
            name = f"{self.name}:{adapter.name}"
            if name in self.variants:
                raise UsageError(f"Two adapters are named {adapter.name}. Rename a folder.")
            model = self._adapted(adapter)
            other = Magistral(name, model, self.config, self.tokenizer, memory)
            other.adapter, other._base = adapter, self
            other.draft_model = self.draft_model
            self.variants[name] = other

    def _adapted(self, adapter: Adapter) -> Transformer:
        assert self._folder is not None
        base = base_identity(open_checkpoint(self._folder))
        return in_turn(lambda: adapted_copy(self.model, adapter, base))

    def _read_draft(self) -> None:
        if self._draft is not None:
            draft = self._draft
            self.draft_model = in_turn(lambda: load_draft(draft, self.tokenizer))

    def _hold_wired(self) -> None:
        if self.memory.wired is not None:
            self.memory.wired.hold()

    def _room_for_reply(self, prompt_tokens: int, max_tokens: int | None) -> int:
        """How many ids the reply may have; raises ContextLengthError or UsageError."""
        room = self.context_tokens - prompt_tokens
        if room < 1:
            raise ContextLengthError(prompt_tokens, self.context_tokens)
        if max_tokens is not None:
            require_whole("max_tokens", max_tokens)
            if max_tokens < 1:
                raise UsageError(f"max_tokens must be 1 or more, not {max_tokens}.")
        return room if max_tokens is None else min(max_tokens, room)

    @property
    def pass_costs(self) -> PassCosts:
        """What passes cost here; read from disk once."""
        if self._costs is None:
            name = fingerprint(self.model, self.memory.new_cache(self.model))
            self._costs = PassCosts(name, costs_folder())
        return self._costs

    def _guidance(self) -> Guidance:
        """The vocabulary for grammars, made once: it takes a second for the full one."""
        if self._made_guidance is None:
            self._made_guidance = make_guidance(self.tokenizer)
        return self._made_guidance


def _read_model(checkpoint: Checkpoint, adapter: Adapter | None) -> Transformer:
    """The model with its weights read, and the adapter in its place."""
    model = build_model(checkpoint).model
    read_weights(model)
    if adapter is not None:
        place_adapter(model, adapter, base_sha256=base_identity(checkpoint))
        read_weights(model)
    return model


def _as_tuple(stop: str | Sequence[str]) -> tuple[str, ...]:
    """One stop string or several; what they hold is checked where they are used."""
    if isinstance(stop, str):
        return (stop,)
    if not isinstance(stop, Sequence):
        raise UsageError(f"stop must be a text or a list of texts, not {stop!r}.")
    return tuple(stop)


def _split(options: dict[str, Any]) -> tuple[SamplingOptions, ControlOptions]:
    """The keywords by the class that has them as a field."""
    sampling = SamplingOptions.__dataclass_fields__.keys()
    control = ControlOptions.__dataclass_fields__.keys()
    for name in sorted(options.keys() - sampling - control):
        known = ", ".join([*sampling, *control])
        raise UsageError(f"Unknown option {name}. Known are {known}.")
    return (
        SamplingOptions(**{name: options[name] for name in options.keys() & sampling}),
        ControlOptions(**{name: options[name] for name in options.keys() & control}),
    )
