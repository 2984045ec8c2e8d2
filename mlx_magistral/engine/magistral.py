"""Magistral: load a model once, then stream or generate replies, one or many, waiting or not.

The one entry to all that is under it, and holds no algorithm: what is asked for is checked by
planning.py, decoded by a ReplyStream or the batching engine, and goes on through tools in rounds.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from mlx_magistral.engine.asynchronous import AsyncReplyStream
from mlx_magistral.engine.loading import LoadOptions, read_parts
from mlx_magistral.engine.parsing import Parsed, Schema, json_schema, with_parsed
from mlx_magistral.engine.planning import Messages, Prompt
from mlx_magistral.engine.reading import ModelReader, WholeReader
from mlx_magistral.engine.reply_options import ReplyOptions
from mlx_magistral.engine.resident import ResidentModel
from mlx_magistral.engine.streaming import ReplyStream
from mlx_magistral.engine.tool_rounds import (
    ToolRounds,
    answer_with_tools,
    answer_with_tools_async,
)
from mlx_magistral.events import ParsedReply, Reply
from mlx_magistral.memory.runtime import MemoryOptions
from mlx_magistral.options import require_call

if TYPE_CHECKING:
    from mlx_magistral.batching.many import BatchProgress

Tools = Sequence[Any] | None
_TOOL_ROUNDS = 8


class Magistral(ResidentModel):
    """A loaded model: weights, tokenizer and name. Make one with ``Magistral.load``."""

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
        reader: ModelReader | None = None,
    ) -> Self:
        """Load a folder, a hub id or ``"nano"``; None is the default (see default_model).

        Memory is planned before weights are read; ``memory.note`` says what the plan lowered. The
        keywords are those of MemoryOptions; ``tokenizer`` is a tekken.json for a folder that has
        none and whose card names no base model; ``draft`` is a smaller model of the same
        vocabulary, or an EAGLE-3 head, that guesses ahead (see ``speculate`` of stream).
        ``adapter`` is a folder that train, mlx-lm or PEFT wrote for this model; ``variants`` are
        such folders for models beside this one that share its weights (``variants`` of the result).
        ``force`` loads although the plan refuses, after ``on_forced`` was told by how much.
        ``reader`` reads the weights, None all of them into this process. Raises UsageError for an
        option that cannot be, before anything is looked for; SettingsError, ModelNotFoundError,
        HubError, CheckpointError, TokenizerError, AdapterError; MissingExtraError for a draft that
        needs mlx-lm; and MemoryPlanError where the context does not fit.
        """
        started = time.perf_counter()
        memory = MemoryOptions(
            kv_bits=kv_bits,
            context_tokens=context_tokens,
            reuse_prefixes=reuse_prefixes,
            wired_bytes=wired_bytes,
            force=force,
        )
        wanted = LoadOptions(model, memory, tokenizer, draft, adapter, variants, on_forced)
        loaded = cls.of(read_parts(wanted, reader or WholeReader()))
        loaded.load_s = time.perf_counter() - started
        return loaded

    def stream(
        self,
        messages: Messages | None = None,
        *,
        prompt: Prompt | None = None,
        tools: Tools = None,
        schema: Schema | None = None,
        **options: Unpack[ReplyOptions],
    ) -> ReplyStream:
        """Start a reply; iterate over the result for its events.

        ``messages`` is a text (one user message) or a list of OpenAI dicts or mistral-common
        messages. A last assistant message with ``"prefix": True`` is the beginning of the reply,
        its ``reasoning`` alone that of the thinking: the reply goes on there. ``prompt`` takes the
        place of messages: a text or ids that the model goes on from, with no template around it.
        ``tools`` are Python functions, OpenAI dicts, or tools of MCP servers; a call of one is an
        event, and running it the caller's. ``schema`` is a JSON schema or a pydantic class that the
        answer obeys. The other keywords are those of ReplyOptions. Raises PromptError,
        ContextLengthError or UsageError before anything is computed, and MissingExtraError where a
        schema needs the extra ``guidance``.
        """
        progress = self.begin(
            messages=messages, prompt=prompt, tools=tools, schema=json_schema(schema), **options
        )
        return ReplyStream(self, progress, options.get("on_prefill"))

    def astream(
        self,
        messages: Messages | None = None,
        *,
        prompt: Prompt | None = None,
        tools: Tools = None,
        schema: Schema | None = None,
        **options: Unpack[ReplyOptions],
    ) -> AsyncReplyStream:
        """The same for ``async for``; what ``stream`` raises comes at the first event."""
        keywords = {"prompt": prompt, "tools": tools, "schema": schema, **options}
        return AsyncReplyStream(partial(self.stream, messages, **keywords))  # type: ignore[arg-type]

    @overload
    def generate(
        self,
        messages: Messages,
        *,
        schema: type[Parsed],
        tools: Tools = None,
        max_tool_rounds: int = _TOOL_ROUNDS,
        **options: Unpack[ReplyOptions],
    ) -> ParsedReply[Parsed]: ...
    @overload
    def generate(
        self,
        messages: Messages,
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Tools = None,
        max_tool_rounds: int = _TOOL_ROUNDS,
        **options: Unpack[ReplyOptions],
    ) -> Reply: ...
    def generate(
        self,
        messages: Messages,
        *,
        schema: Schema | None = None,
        tools: Tools = None,
        max_tool_rounds: int = _TOOL_ROUNDS,
        **options: Unpack[ReplyOptions],
    ) -> Reply:
        """The whole reply; the keywords are those of ``stream``.

        ``tools`` that are Python functions or those of MCP servers are called and their results
        given to the model, which goes on until it answers, ``max_tool_rounds`` times at most. Tools
        given as dicts are the caller's to run: the reply ends with TOOL_CALLS. With a pydantic
        class as ``schema``, ``parsed`` of the reply is its instance.
        """
        rounds = ToolRounds(messages, tools, max_tool_rounds, {**options, "schema": schema})
        return with_parsed(answer_with_tools(self.stream, self.name, rounds), schema)

    @overload
    async def agenerate(
        self,
        messages: Messages,
        *,
        schema: type[Parsed],
        tools: Tools = None,
        max_tool_rounds: int = _TOOL_ROUNDS,
        **options: Unpack[ReplyOptions],
    ) -> ParsedReply[Parsed]: ...
    @overload
    async def agenerate(
        self,
        messages: Messages,
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Tools = None,
        max_tool_rounds: int = _TOOL_ROUNDS,
        **options: Unpack[ReplyOptions],
    ) -> Reply: ...
    async def agenerate(
        self,
        messages: Messages,
        *,
        schema: Schema | None = None,
        tools: Tools = None,
        max_tool_rounds: int = _TOOL_ROUNDS,
        **options: Unpack[ReplyOptions],
    ) -> Reply:
        """The same on an event loop, which goes on meanwhile.

        The calls of one round run at the same time: async tools on the loop, others in threads.
        Replies of several tasks take turns, an id at a time; ``generate_batch`` decodes them
        together, which is faster. A task that is cancelled ends its reply.
        """
        rounds = ToolRounds(messages, tools, max_tool_rounds, {**options, "schema": schema})
        return with_parsed(await answer_with_tools_async(self.astream, self.name, rounds), schema)

    @overload
    def generate_batch(
        self,
        prompts: Sequence[Messages],
        *,
        schema: type[Parsed],
        tools: Tools = None,
        max_tool_rounds: int = _TOOL_ROUNDS,
        max_batch: int = 8,
        progress: "bool | Callable[[BatchProgress], None]" = False,
        on_reply: Callable[[int, Reply], None] | None = None,
        **options: Unpack[ReplyOptions],
    ) -> list[ParsedReply[Parsed]]: ...
    @overload
    def generate_batch(
        self,
        prompts: Sequence[Messages],
        *,
        schema: Mapping[str, Any] | None = None,
        tools: Tools = None,
        max_tool_rounds: int = _TOOL_ROUNDS,
        max_batch: int = 8,
        progress: "bool | Callable[[BatchProgress], None]" = False,
        on_reply: Callable[[int, Reply], None] | None = None,
        **options: Unpack[ReplyOptions],
    ) -> list[Reply]: ...
    def generate_batch(
        self,
        prompts: Sequence[Messages],
        *,
        schema: Schema | None = None,
        tools: Tools = None,
        max_tool_rounds: int = _TOOL_ROUNDS,
        max_batch: int = 8,
        progress: "bool | Callable[[BatchProgress], None]" = False,
        on_reply: Callable[[int, Reply], None] | None = None,
        **options: Unpack[ReplyOptions],
    ) -> list[Any]:
        """The replies to several prompts, in their order, decoded together up to ``max_batch``.

        Each prompt is what ``generate`` takes, and so are the keywords but for ``on_prefill``;
        ``speculate`` is off unless given. All prompts are checked before the first is computed.
        ``progress=True`` draws a line on stderr, a function gets a BatchProgress twice a second;
        ``on_reply`` gets the place and the reply of each that is whole, so that nothing is lost
        where a later one fails: that ends the batch with its error. Sampled text of a seed is what
        ``generate`` gives but for rounding. Other threads' replies wait until the batch is done.
        """
        from mlx_magistral.batching.many import make_replies

        require_call("on_reply", on_reply)

        def parse(index: int, reply: Reply) -> Reply:
            parsed = with_parsed(reply, schema)
            if on_reply is not None:
                on_reply(index, parsed)
            return parsed

        return make_replies(
            self,
            prompts,
            {**options, "schema": json_schema(schema)},
            tools=tools,
            max_tool_rounds=max_tool_rounds,
            max_batch=max_batch,
            progress=progress,
            finish=parse,
        )
