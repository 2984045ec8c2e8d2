"""How far a reply is, in the words of llama.cpp's server, which its clients ask for by name.

``timings_per_token`` puts ``timings`` into each chunk of a stream, ``return_progress`` sends
``prompt_progress`` while the prompt is read. Milliseconds, as there.
"""

from typing import Any

from mlx_magistral.events import Progress


def timings_body(progress: Progress) -> dict[str, Any]:
    """The prompt's tokens and the reply's so far, with their time and speed."""
    read = progress.read_tokens - progress.cached_tokens
    # The first id comes with the prompt's logits; the others are decoded one after another.
    decoded = max(0, progress.completion_tokens - 1)
    return {
        "cache_n": progress.cached_tokens,
        "prompt_n": read,
        "prompt_ms": 1000 * progress.prompt_s,
        "prompt_per_second": read / progress.prompt_s if progress.prompt_s else 0.0,
        "predicted_n": progress.completion_tokens,
        "predicted_ms": 1000 * progress.decode_s,
        "predicted_per_second": decoded / progress.decode_s if progress.decode_s else 0.0,
    }


def prompt_progress_body(progress: Progress) -> dict[str, Any]:
    """How much of the prompt is read."""
    return {
        "total": progress.prompt_tokens,
        "cache": progress.cached_tokens,
        "processed": progress.read_tokens,
        "time_ms": 1000 * progress.prompt_s,
    }
