"""Every error this project raises on purpose, and what a command line makes of it.

    MagistralError                something the user can act on; exit code 1
    ├── UsageError                a flag or argument that cannot be right; exit code 2
    ├── MissingExtraError         a feature whose optional packages are not installed
    ├── ToolError                 a tool that failed; the model is told, see functions.py
    ├── McpError                  an MCP server or its file that cannot be used
    ├── SettingsError             a configuration file or a value in it that cannot be used
    ├── ModelNotFoundError        a model name that is no folder, no hub id and not "nano"
    ├── HubError                  the hub refused, is out of reach, or sent something else
    ├── CheckpointError           a model folder that is incomplete, damaged or of another kind
    │   └── DamagedFileError      a file of it that is not as it was published
    ├── AdapterError              an adapter that is damaged, or belongs to another model
    ├── TokenizerError            a tekken.json that is missing, damaged or of another version
    ├── PromptError               messages that mistral-common does not accept
    │   ├── UnsupportedFieldError a field that would change the reply and is not honoured
    │   └── ContextLengthError    more tokens than the model's context holds
    ├── MemoryPlanError           a run that does not fit this machine's memory
    ├── OverloadedError           a server that has no room for one more reply right now
    │   └── QueueFullError        as many replies wait as may wait
    ├── GenerationError           a reply that failed inside; others are not touched by it
    ├── PrefixCacheError          prefixes that cannot be kept on disk; the reply goes on without
    ├── SessionError              a conversation that cannot be found, read or written
    ├── TrainingError             a training that cannot start or cannot go on
    ├── RunError                  a batch or evaluation whose files cannot be used
    ├── ClusterError              a rank that is missing, differs from the leader, or was lost
    ├── SandboxError              no fence for a model's programs holds on this machine
    └── ConversionError           a conversion that cannot start or cannot go on

A message says what is wrong, the value found, and what to do, one sentence each. Library code
raises these; only the command line prints them.
"""


class MagistralError(Exception):
    """Base of every error a user can act on."""

    exit_code = 1


class UsageError(MagistralError):
    """A flag or argument that cannot be right whatever the files hold."""

    exit_code = 2


class MissingExtraError(MagistralError):
    """A feature needs packages that are an extra of this one."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} need packages that are not installed. Run: pip install "
            f"'mlx-magistral[{extra}]'"
        )


class ToolError(MagistralError):
    """A tool could not do what it was called for. Raised by tools; the model reads the message."""


class McpError(MagistralError):
    """An MCP server cannot be started or does not answer, or a file of them cannot be used."""


class SettingsError(MagistralError):
    """The configuration file, or a value in it, cannot be used."""


class ModelNotFoundError(MagistralError):
    """The model's name is no folder, no hub id and not ``nano``."""


class HubError(MagistralError):
    """The hub refused, is out of reach, or holds something else than expected."""


class CheckpointError(MagistralError):
    """A model folder is incomplete, damaged, or holds another kind of model."""


class DamagedFileError(CheckpointError):
    """A file of a model is cut short or holds other bytes than it should: fetch it again."""


class AdapterError(MagistralError):
    """An adapter's folder is damaged, of a kind that is not computed, or of another model."""


class TokenizerError(MagistralError):
    """A tokenizer file is missing, damaged, or of a version without [THINK]."""


class PromptError(MagistralError):
    """The messages cannot be encoded."""


class UnsupportedFieldError(PromptError):
    """A field that would change what the reply says, and that nothing here honours."""

    def __init__(self, field: str, place: str = "") -> None:
        where = f"{place}: field" if place else "Field"
        super().__init__(f"{where} {field!r} is not supported by this model. Leave it out.")
        self.field = field


class ContextLengthError(PromptError):
    """The prompt holds more tokens than the model's context."""

    def __init__(self, prompt_tokens: int, context_tokens: int) -> None:
        super().__init__(
            f"The prompt has {prompt_tokens:,} tokens and the model's context holds "
            f"{context_tokens:,}. Shorten the prompt or the files it quotes."
        )
        self.prompt_tokens = prompt_tokens
        self.context_tokens = context_tokens


class MemoryPlanError(MagistralError):
    """The run does not fit the memory; the message has the numbers."""


class OverloadedError(MagistralError):
    """There is no room for one more reply now; ``retry_after_s`` says when to ask again."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFullError(OverloadedError):
    """As many replies wait as may wait: the callers ask for more than the model can make."""


class GenerationError(MagistralError):
    """A reply failed inside; its cause is the error that was met."""


class PrefixCacheError(MagistralError):
    """The prefix cache's folder cannot be written."""


class SessionError(MagistralError):
    """A conversation cannot be found, read or written, or is open elsewhere."""


class TrainingError(MagistralError):
    """Data that cannot be trained on, or a training that cannot start or cannot go on."""


class RunError(MagistralError):
    """A batch or an evaluation cannot start or go on with the files there are."""


class ClusterError(MagistralError):
    """The ranks of a model cannot begin together, or one of them was lost on the way."""


class SandboxError(MagistralError):
    """Programs that a model wrote cannot be run safely here."""


class ConversionError(MagistralError):
    """A conversion cannot start or cannot go on."""
