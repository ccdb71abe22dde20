"""Health: whether the process lives, whether it can do its work, and how it is doing.

Promise: `/readyz` is green only while a hit that comes now would be committed and told; otherwise it says what is
wrong. `/metrics` is shown to the machine itself and to admins only.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Iterator, Mapping
from typing import get_args

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric
from starlette.requests import Request
from starlette.responses import Response

from hub.api.asked import answer
from hub.api.auth import Auth
from hub.api.problems import Problem
from hub.commits import Measures
from hub.live.bus import Bus
from hub.live.connections import Connections
from hub.machine import out_of_descriptors
from hub.model import VerdictName
from hub.recorder import Recorder
from hub.store.database import Database
from hub.store.probe import Probe
from hub.tracking.visit import TrustedProxies, client_address


class Metrics:
    """The counters of one process, in a registry of their own. With `of_several`, each names its process."""

    def __init__(self, *, of_several: bool = False) -> None:
        self.registry = CollectorRegistry()
        self._labels = {"process": str(os.getpid())} if of_several else {}
        self.opens = Counter("glimpse_opens_total", "Hits recorded, by verdict.", ["verdict"], registry=self.registry)
        for verdict in get_args(VerdictName):
            self.opens.labels(verdict)  # Shown as 0: Prometheus sees no increase in a series that begins with 1.
        self.hits = Counter(
            "glimpse_hits_total",
            "Pixels answered: the hit is safe, its token was forged, or recording it failed.",
            ["result"],
            registry=self.registry,
        )
        self._results = {result: self.hits.labels(result) for result in ("safe", "forged", "failed")}
        self.delivery = Histogram(
            "glimpse_delivery_seconds",
            "Seconds from a live event's commit until this process's sockets had it.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
            registry=self.registry,
        )
        self.batch = Histogram(
            "glimpse_batch_hits",
            "Hits in a committed batch.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
            registry=self.registry,
        )
        self.commit = Histogram(
            "glimpse_commit_seconds",
            "Seconds a batch's transaction took.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
            registry=self.registry,
        )
        self.closes = Counter(
            "glimpse_socket_closes_total", "WebSockets ended, by close code.", ["code"], registry=self.registry
        )

    def shown(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(_Labelled(self.registry, self._labels))

    def measures(self) -> Measures:
        """What the recorder calls."""

        def committed(hits: int, seconds: float) -> None:
            self.batch.observe(hits)
            self.commit.observe(seconds)

        def verdicts(counts: Mapping[str, int]) -> None:
            for verdict, count in counts.items():
                self.opens.labels(verdict).inc(count)

        return Measures(committed, verdicts)

    def hit(self, result: str) -> None:
        """A pixel was answered."""
        self._results[result].inc()

    def closed(self, code: int) -> None:
        """A WebSocket ended with this code."""
        self.closes.labels(str(code)).inc()

    def watch(self, name: str, help_: str, read: Callable[[], float]) -> None:
        """Show what `read` returns, whenever somebody asks."""
        Gauge(name, help_, registry=self.registry).set_function(read)


class _Labelled(CollectorRegistry):
    """The metrics of another registry, each sample with these labels before its own."""

    def __init__(self, registry: CollectorRegistry, labels: Mapping[str, str]) -> None:
        super().__init__()
        self._registry = registry
        self._labels = labels

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [each._replace(labels={**self._labels, **each.labels}) for each in metric.samples]
            yield metric


class HealthApi:
    """`/healthz`, `/readyz` and `/metrics`."""

    def __init__(
        self,
        auth: Auth,
        database: Database,
        recorder: Recorder,
        bus: Bus,
        connections: Connections,
        metrics: Metrics,
        *,
        trusted_proxies: TrustedProxies,
    ) -> None:
        self._auth = auth
        self._probe = Probe(database)
        self._recorder = recorder
        self._bus = bus
        self._metrics = metrics
        self._trusted_proxies = trusted_proxies
        self._connections = connections
        metrics.watch("glimpse_sockets", "Open WebSockets and streams.", lambda: len(connections))
        metrics.watch("glimpse_queue_bytes", "Bytes waiting for slow clients.", lambda: connections.queued_bytes)
        metrics.watch("glimpse_spool_hits", "Hits waiting in the spool.", lambda: recorder.spool_depth)
        metrics.watch("glimpse_bus_up", "1 if the bus works.", lambda: float(bus.up))
        metrics.watch("glimpse_bus_generation", "How often the bus may have lost something.", lambda: bus.generation)

    async def alive(self, _request: Request) -> Response:
        """`GET /healthz`."""
        return answer({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """`GET /readyz`."""
        checks = {
            "database": await self._probe.trouble(),
            "recorder": self._recorder.trouble,
            "bus": None if self._bus.up else "the bus is not connected",
            "server": self._server_trouble(),
        }
        ready = not any(checks.values())
        body = {"status": "ok" if ready else "unavailable", "checks": {k: v or "ok" for k, v in checks.items()}}
        return answer(body, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        """`GET /metrics`."""
        if not _is_loopback(client_address(request.scope, self._trusted_proxies)):
            user = await self._auth.require_user(request)
            if user.role != "admin":
                raise Problem(403, "forbidden", "Metrics are for admins and for the machine itself.")
        # Readers such as Prometheus's own library for Go do not know version 1.0.0.
        return Response(
            self._metrics.shown(), headers={"cache-control": "no-store"}, media_type=CONTENT_TYPE_PLAIN_0_0_4
        )

    def _server_trouble(self) -> str | None:
        if self._connections.draining:
            return "the server is going down"
        # Only a client that is already connected, as a router may be, can hear this: new connections are refused.
        return "no file descriptors are left: new connections are refused" if out_of_descriptors() else None


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
