"""The backend that decodes many requests together; batching/ has the engine."""

import math
from collections.abc import Mapping
from collections.abc import Sequence as Names
from typing import Any

from mlx_magistral.batching.engine import BatchEngine, BatchOptions
from mlx_magistral.batching.sequence import Sequence
from mlx_magistral.decode.speculation.drafts import SpeculateOption
from mlx_magistral.engine.magistral import Magistral
from mlx_magistral.engine.streaming import ReplyStream
from mlx_magistral.errors import ContextLengthError
from mlx_magistral.events import Progress
from mlx_magistral.model.names import expected_shapes
from mlx_magistral.server.backend import Backend, BackendStats, GenerationRequest, OnEvent, Ticket


def make_backend(
    model: Magistral,
    *,
    max_batch: int = 8,
    max_queue: int = 64,
    idle_unload_s: float | None = None,
    speculate: str | int = "auto",
) -> Backend:
    """Start a backend for a loaded model, which is the backend's own from now on.

    Up to ``max_batch`` replies decode together and ``max_queue`` wait. After ``idle_unload_s``
    seconds without work the weights are given back and read again for the next request.
    ``speculate`` is as in ``Magistral.stream``; raises UsageError.
    """
    SpeculateOption.parse(speculate)
    return BatchBackend(model, BatchOptions(max_batch, max_queue, idle_unload_s), speculate)


class BatchBackend:
    """A Backend: checks requests on the caller's thread and makes replies on its own."""

    def __init__(
        self, model: Magistral, options: BatchOptions, speculate: str | int = "auto"
    ) -> None:
        self._model = model
        self._speculate = speculate
        self._engine = BatchEngine(model, options)
        self._places = options.max_batch + options.max_queue

    @property
    def model_name(self) -> str:
        return self._model.name

    @property
    def model_names(self) -> Names[str]:
        return (self._model.name, *self._model.variants)

    @property
    def context_tokens(self) -> int:
        return self._model.context_tokens

    @property
    def facts(self) -> Mapping[str, Any]:
        config, plan = self._model.config, self._model.memory.plan
        return {
            "n_params": sum(math.prod(shape) for shape in expected_shapes(config).values()),
            "n_vocab": config.vocab_size,
            "n_embd": config.dim,
            "n_ctx_train": config.max_position_embeddings,
            "size": plan.weight_bytes,
            "memory": {
                "weights": plan.weight_bytes,
                "kv": plan.kv_bytes,
                "kv_bits": plan.kv_bits,
                "workspace": plan.workspace_bytes,
                "reserve": plan.reserve_bytes,
                "limit": plan.machine.limit_bytes,
            },
        }

    @property
    def places(self) -> int:
        return self._places

    def submit(self, request: GenerationRequest, on_event: OnEvent) -> Ticket:
        """Queue a reply, see Backend; also raises MissingExtraError for a grammar without one."""
        progress = self._prepare(request).progress
        return BatchTicket(self._engine.submit(progress, on_event, self._answering(request)))

    def count_tokens(self, request: GenerationRequest) -> int:
        """The prompt's ids, also where there are more than the context holds."""
        try:
            return len(self._prepare(request).progress.plan.prompt)
        except ContextLengthError as error:
            return error.prompt_tokens

    def stats(self) -> BackendStats:
        running, queued = self._engine.counts
        return BackendStats(running, queued, self._engine.free_bytes, int(self._engine.pressure))

    def close(self, drain_s: float) -> None:
        """Take nothing more and end within about ``drain_s`` seconds."""
        self._engine.close(drain_s)

    def _prepare(self, request: GenerationRequest) -> ReplyStream:
        """A reply that nobody has started; the batch decodes it in place of the stream."""
        return self._answering(request).stream(**request.keywords(), speculate=self._speculate)

    def _answering(self, request: GenerationRequest) -> Magistral:
        return self._model.variants.get(request.model or "", self._model)


class BatchTicket:
    """A Ticket for a reply in the batch or in its queue."""

    def __init__(self, sequence: Sequence) -> None:
        self._sequence = sequence

    @property
    def progress(self) -> Progress:
        return self._sequence.progress.so_far(self._sequence.kept_tokens)

    def cancel(self) -> None:
        self._sequence.cancel()

    def answer_now(self) -> None:
        self._sequence.progress.answer_now.request()
