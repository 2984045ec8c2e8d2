"""The line under the prompt: model, context and speed, as much of it as fits."""

from pathlib import Path

from mlx_magistral.chat.chat import Chat


def status_line(chat: Chat, columns: int) -> str:
    """At most ``columns`` wide; what matters least is left out first."""
    total = chat.context_tokens
    used = chat.context_used
    if chat.thread.is_loading:
        context = "loading the model…"
    elif total is None:
        context = "no model" if chat.thread.error is not None else ""
    else:
        context = f"{used:,} of {total:,} tokens"
    parts = [context]
    if chat.last_finished is not None:
        parts.append(f"{chat.last_finished.timings.decode_tps:.1f} tok/s")
    parts.append(Path(chat.settings.model or "nano").name)
    parts.append(f"think {chat.settings.think}")
    if chat.settings.files:
        parts.insert(1, f"{len(chat.settings.files)} attached")
    while len(parts) > 1 and len(" · ".join(parts)) > columns:
        parts.pop()
    return " · ".join(parts)[:columns]
