"""How a model's weights come into memory: whole by default, or as whoever divides it has it."""

from typing import Protocol

from mlx_magistral.memory.runtime import MemoryOptions, ModelMemory, plan_memory
from mlx_magistral.model.adapters.adapter import Adapter
from mlx_magistral.model.adapters.identity import base_identity
from mlx_magistral.model.adapters.placing import place_adapter
from mlx_magistral.model.checkpoint import Checkpoint
from mlx_magistral.model.transformer import Transformer
from mlx_magistral.model.weights import build_model, read_weights


class ModelReader(Protocol):
    """Plans and reads a model for ``Magistral``, which knows no more of where its weights are."""

    def plan(self, checkpoint: Checkpoint, options: MemoryOptions) -> ModelMemory:
        """The memory plan, before anything is read; raises as plan_memory does."""
        ...

    def read(self, checkpoint: Checkpoint, adapter: Adapter | None) -> Transformer:
        """The model with its weights read, and the adapter in its place."""
        ...


class WholeReader:
    """All of the model in this process."""

    def plan(self, checkpoint: Checkpoint, options: MemoryOptions) -> ModelMemory:
        """See ModelReader."""
        return plan_memory(checkpoint, options)

    def read(self, checkpoint: Checkpoint, adapter: Adapter | None) -> Transformer:
        """See ModelReader."""
        model = build_model(checkpoint).model
        read_weights(model)
        if adapter is not None:
            place_adapter(model, adapter, base_sha256=base_identity(checkpoint))
            read_weights(model)
        return model
