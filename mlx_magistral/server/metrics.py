"""Counters for /metrics, in a registry of their own."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mlx_magistral.events import Finished
from mlx_magistral.server.backend import Backend

_TTFT_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """What was served; what runs now is asked of the backend when somebody looks."""

    def __init__(self, backend: Backend) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Now(backend))
        self.requests = Counter(
            "magistral_requests",
            "HTTP requests by route and status.",
            ["route", "status"],
            registry=self.registry,
        )
        self._tokens = Counter(
            "magistral_tokens", "Tokens by kind.", ["kind"], registry=self.registry
        )
        self._replies = Counter(
            "magistral_replies", "Replies by finish reason.", ["reason"], registry=self.registry
        )
        self.cancelled = Counter(
            "magistral_replies_cancelled",
            "Replies cancelled: the client left, or time was up.",
            registry=self.registry,
        )
        self._passes = Counter(
            "magistral_decode_passes",
            "Passes of the model that replies took part in; completion tokens over these are the "
            "tokens a pass.",
            registry=self.registry,
        )
        self._guesses = Counter(
            "magistral_guesses",
            "Tokens guessed by speculation; kept over all is the acceptance.",
            ["outcome"],
            registry=self.registry,
        )
        self._ttft = Histogram(
            "magistral_time_to_first_token_seconds",
            "From request to first token.",
            buckets=_TTFT_BUCKETS,
            registry=self.registry,
        )

    def count(self, finished: Finished) -> None:
        """Take in the end of one reply."""
        usage = finished.usage
        self._tokens.labels("prompt").inc(usage.prompt_tokens)
        self._tokens.labels("completion").inc(usage.completion_tokens)
        self._tokens.labels("reasoning").inc(usage.reasoning_tokens)
        self._tokens.labels("cached").inc(usage.cached_tokens)
        self._replies.labels(finished.reason.value).inc()
        timings = finished.timings
        self._passes.inc(usage.completion_tokens / timings.tokens_per_pass)
        kept = round(timings.guesses * (timings.acceptance or 0.0))
        self._guesses.labels("kept").inc(kept)
        self._guesses.labels("dropped").inc(timings.guesses - kept)
        self._ttft.observe(timings.ttft_s)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)


class _Now(Collector):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> Iterable[Metric]:
        now = self._backend.stats()
        yield GaugeMetricFamily("magistral_running", "Replies being made.", now.running)
        yield GaugeMetricFamily("magistral_queued", "Replies waiting.", now.queued)
        yield GaugeMetricFamily(
            "magistral_free_memory_bytes", "Memory left for more replies.", now.free_memory_bytes
        )
        yield GaugeMetricFamily(
            "magistral_memory_pressure",
            "How short of memory the machine is: 0 not, 1 short, 2 critical.",
            now.memory_pressure,
        )
