"""Numbers for Prometheus, in a registry of the application's own."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from projects.onnx_serving.server.batching import BatchStats

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
REQUESTS = (1, 2, 4, 8, 16, 32, 64)


class Telemetry:
    """Counters and histograms of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("requests", "Answers by route and status", ["route", "status"], registry=self.registry)
        self._seconds = Histogram(
            "request_seconds", "Time to answer", ["route"], buckets=SECONDS, registry=self.registry
        )
        self._batch = Histogram(
            "batch_requests", "Requests of a batch", ["model"], buckets=REQUESTS, registry=self.registry
        )
        self._computing = Histogram(
            "batch_seconds", "Time of a batch", ["model"], buckets=SECONDS, registry=self.registry
        )
        self._waited = Histogram(
            "queue_seconds", "Time in the queue", ["model"], buckets=SECONDS, registry=self.registry
        )
        self._left = Counter("clients_left", "Clients that left before their answer", registry=self.registry)
        self._tokens = Counter("new_tokens", "Tokens generated", registry=self.registry)
        self._waiting = Gauge("waiting", "Requests in the queue", ["model"], registry=self.registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answer that was sent."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batches_of(self, model: str) -> Callable[[BatchStats], None]:
        """The observer of a model's batches."""

        def observe(batch: BatchStats) -> None:
            self._batch.labels(model).observe(batch.requests)
            self._computing.labels(model).observe(batch.seconds)
            for seconds in batch.waited:
                self._waited.labels(model).observe(seconds)

        return observe

    def watch(self, model: str, depth: Callable[[], int]) -> None:
        """Read the depth of this model's queue whenever the numbers are asked for."""
        self._waiting.labels(model).set_function(depth)

    def left(self) -> None:
        """Count a client that left before its answer."""
        self._left.inc()

    def generated(self, tokens: int) -> None:
        """Count generated tokens."""
        self._tokens.inc(tokens)

    def page(self) -> bytes:
        """All numbers in Prometheus' text format."""
        return generate_latest(self.registry)
