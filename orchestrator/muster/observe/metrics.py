"""Prometheus metrics of one process, and the counts of the whole fleet read at each scrape.

Counters and histograms belong to this process: sum them over replicas. The fleet's gauges are the same on
every replica: take their maximum, never their sum. Labels come from closed sets only (route templates,
methods, registered blueprints), so no request can make the number of series grow.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from muster.version import product_version

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})
OTHER: Final = "OTHER"
_REQUEST_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TURN_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 10)
_TASK_BUCKETS: Final = (0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 7200)


class FleetCounts(Protocol):
    """What a scrape asks the store: counts by word."""

    @property
    def workers(self) -> Mapping[str, int]:
        """`total`, `idle`, `busy`."""
        ...

    @property
    def jobs(self) -> Mapping[str, int]:
        """By status word, and `queued`."""
        ...

    @property
    def tasks(self) -> Mapping[str, int]:
        """`queued`, `running`."""
        ...


class StoreTraffic(Protocol):
    """Counts kept by the store's connection, which are cheaper there than as a metric of their own."""

    commands: int
    round_trips: int


class _StoreTrafficCollector(Collector):
    def __init__(self, traffic: StoreTraffic) -> None:
        self._traffic = traffic

    def collect(self) -> Iterable[Metric]:
        yield CounterMetricFamily("muster_redis_commands", "Commands sent to the store.", self._traffic.commands)
        yield CounterMetricFamily(
            "muster_redis_round_trips", "Writes to the store; one carries many commands.", self._traffic.round_trips
        )


class Metrics:
    """The counters of this process, each with its own registry so that two servers can share an interpreter."""

    def __init__(self, *, version: str | None = None) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.jobs = self._counter("muster_jobs", "Jobs accepted by this process.", ["blueprint"])
        self.jobs_finished = self._counter(
            "muster_jobs_finished",
            "Jobs that this process ended: finished, failed, cancelled, quarantined.",
            ["blueprint", "outcome"],
        )
        self.tasks = self._counter("muster_tasks", "Task attempts that ended here, by outcome.", ["outcome"])
        self.task_wait_seconds = self._histogram("muster_task_wait_seconds", "From ready to handed out.", _TASK_BUCKETS)
        self.task_run_seconds = self._histogram(
            "muster_task_run_seconds", "From handed out to reported.", _TASK_BUCKETS
        )
        self.workers_slowed = self._counter(
            "muster_workers_slowed", "Times that a worker was slowed for failing quickly where others do not."
        )
        self.leases_expired = self._counter("muster_leases_expired", "Tasks whose worker went silent.")
        self.slot_drift = self._counter(
            "muster_slot_drift", "Slots of limits that nobody held any more. A bug, or writes lost in a failover."
        )
        self.webhook_deliveries = self._counter(
            "muster_webhook_deliveries", "Attempts to deliver a webhook, by outcome.", ["outcome"]
        )
        self.turns = self._counter("muster_turns", "Turns of jobs run by this process, by outcome.", ["outcome"])
        self.turn_seconds = self._histogram("muster_turn_seconds", "Duration of one turn.", _TURN_BUCKETS)
        self.http_requests = self._counter(
            "muster_http_requests", "Answered HTTP requests.", ["route", "method", "status"]
        )
        self.http_request_seconds = self._histogram(
            "muster_http_request_duration_seconds", "Time to answer, waiting included.", _REQUEST_BUCKETS, ["route"]
        )
        self._requests: dict[tuple[str, str, int], Counter] = {}
        self._durations: dict[str, Histogram] = {}
        build = Gauge("muster_build_info", "Always 1.", ["version"], registry=self.registry)
        build.labels(product_version() if version is None else version).set(1)

    def count_store_traffic(self, traffic: StoreTraffic) -> None:
        """From now on each scrape shows what this process sent to the store."""
        self.registry.register(_StoreTrafficCollector(traffic))

    def request_answered(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer. `route` is a template of the table of operations or `unmatched`."""
        word = method if method in METHODS else OTHER
        key = (route, word, status)
        counter = self._requests.get(key)
        if counter is None:
            counter = self._requests[key] = self.http_requests.labels(route, word, str(status))
            self._durations[route] = self.http_request_seconds.labels(route)
        counter.inc()
        self._durations[route].observe(seconds)

    def render(self, fleet: FleetCounts | None = None) -> bytes:
        """The scrape in Prometheus' text format; without *fleet* its gauges are left out."""
        own = generate_latest(self.registry)
        return own if fleet is None else own + generate_latest(_fleet_registry(fleet))

    def _counter(self, name: str, help_text: str, labels: Iterable[str] = ()) -> Counter:
        return Counter(name, help_text, tuple(labels), registry=self.registry)

    def _histogram(
        self, name: str, help_text: str, buckets: tuple[float, ...], labels: Iterable[str] = ()
    ) -> Histogram:
        return Histogram(name, help_text, tuple(labels), buckets=buckets, registry=self.registry)


def _fleet_registry(fleet: FleetCounts) -> CollectorRegistry:
    """A registry of its own for one scrape: `muster_jobs` is a gauge here and a counter's stem above."""
    registry = CollectorRegistry()
    statuses = {word: count for word, count in fleet.jobs.items() if word != "queued"}
    _gauge(registry, "muster_jobs", "Jobs of the fleet, by status.", "status", statuses)
    workers = {word: count for word, count in fleet.workers.items() if word != "total"}
    _gauge(registry, "muster_workers", "Workers of the fleet, by status.", "status", workers)
    _gauge(registry, "muster_tasks", "Live tasks of the fleet, by state.", "state", fleet.tasks)
    queued = Gauge("muster_job_queue_length", "Jobs of the fleet that wait for a turn.", registry=registry)
    queued.set(fleet.jobs.get("queued", 0))
    return registry


def _gauge(registry: CollectorRegistry, name: str, help_text: str, label: str, counts: Mapping[str, int]) -> None:
    gauge = Gauge(name, help_text, [label], registry=registry)
    for word, count in counts.items():
        gauge.labels(word).set(count)
