"""The figures under a reply, and lines of parts that are broken where the window asks for it."""

from collections.abc import Sequence

from mlx_magistral.events import Finished


def fold(parts: Sequence[str], columns: int) -> list[str]:
    """Parts joined by dots, in as many lines as the window needs."""
    lines = [parts[0]]
    for part in parts[1:]:
        joined = f"{lines[-1]} · {part}"
        if len(joined) <= columns:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


def stats_parts(finished: Finished) -> list[str]:
    """The figures under a reply: rates, time to first token, token counts, peak memory."""
    usage, timings = finished.usage, finished.timings
    answer_tokens = usage.completion_tokens - usage.reasoning_tokens
    parts = [
        f"prefill {timings.prefill_tps:.0f} tok/s",
        f"decode {timings.decode_tps:.1f} tok/s",
        f"first token {timings.ttft_s:.2f} s",
        f"thinking {usage.reasoning_tokens} + answer {answer_tokens} tokens",
        f"peak {_readable(timings.peak_memory_bytes)}",
    ]
    if finished.reason not in ("stop", "tool_calls"):
        parts.insert(0, f"ended by {finished.reason}")
    elif finished.limit is not None:
        parts.insert(0, f"thinking closed by {finished.limit}")
    if finished.invalid is not None:
        parts.insert(0, finished.invalid.rstrip("."))
    return parts


def _readable(nbytes: int) -> str:
    return f"{nbytes / 1e9:.2f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.1f} MB"
