"""Numbers for a monitoring system, counted from the rows when it asks: they are the same whichever process answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import Count, Max, Min, QuerySet
from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from approvals.models import ExceptionGrant, Hold
from audit import clock
from audit.models import AuditHead
from containment.models import Case, Decision, Detection, Heartbeat, Source
from playbooks.models import Attempt, Run


def text() -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Rows())
    return generate_latest(registry)


class _Rows(Collector):
    def collect(self) -> Iterator[Metric]:
        now = clock.now()
        yield _counter("holdfast_detections", "Detections received, by state", "state", Detection.objects.all())
        yield _counter("holdfast_decisions", "Decisions made, by verdict", "verdict", Decision.objects.all())
        yield _gauge("holdfast_cases", "Cases, by state", "state", Case.objects.all())
        yield _gauge("holdfast_sources", "Sources, by state: observing is over a limit", "state", Source.objects.all())
        yield _gauge("holdfast_runs", "Runs, by state", "state", Run.objects.all())
        yield _gauge("holdfast_holds", "Holds, by state", "state", Hold.objects.all())
        yield _gauge("holdfast_exceptions", "Exceptions, by state", "state", ExceptionGrant.objects.all())
        yield _counter("holdfast_steps_by_executor", "Outside calls begun, by what carried them out", "executor", _intents())
        overdue = Detection.objects.filter(next_at__lte=now).aggregate(first=Min("next_at"))["first"]
        late = GaugeMetricFamily("holdfast_detection_overdue_seconds", "How long the oldest undecided detection is overdue")
        late.add_metric([], (now - overdue).total_seconds() if overdue else 0)
        yield late
        breath = GaugeMetricFamily("holdfast_heartbeat_age_seconds", "Since the last sign of life, by kind of process", labels=["kind"])
        for kind, at in Heartbeat.objects.exclude(kind="turn").values_list("kind").annotate(at=Max("at")).order_by("kind"):
            breath.add_metric([kind], (now - at).total_seconds())
        yield breath
        trail = CounterMetricFamily("holdfast_audit_entries", "Entries of the audit trail")
        trail.add_metric([], AuditHead.objects.filter(chain="main").values_list("seq", flat=True).first() or 0)
        yield trail


def _intents() -> QuerySet[Attempt]:
    return Attempt.objects.filter(kind="intent")


def _counter(name: str, about: str, label: str, rows: QuerySet[Any]) -> Metric:
    return _filled(CounterMetricFamily(name, about, labels=[label]), label, rows)


def _gauge(name: str, about: str, label: str, rows: QuerySet[Any]) -> Metric:
    return _filled(GaugeMetricFamily(name, about, labels=[label]), label, rows)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, label: str, rows: QuerySet[Any]) -> Metric:
    for value, count in rows.order_by().values_list(label).annotate(count=Count("pk")).order_by(label):
        family.add_metric([value], count)
    return family
