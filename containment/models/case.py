"""A case: the story of one identity while something is wrong. At most one is open per identity."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from containment.models.identity import Identity
from core.ids import uuid7
from core.refs import Ref


class Case(models.Model):
    """`counted` is what its verdict was counted for, so that a verdict given anew takes exactly that back."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    identity = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="cases")
    title = models.TextField()
    state = models.TextField(default="open")
    opened_at = models.DateTimeField()
    first_event_at = models.DateTimeField()
    last_event_at = models.DateTimeField()
    detections_seen = models.PositiveIntegerField(default=0)
    highest_risk = models.DecimalField(max_digits=4, decimal_places=1, default=0)
    verdict = models.TextField(blank=True, default="")
    verdict_reason = models.TextField(blank=True, default="")
    counted = models.JSONField(default=dict)
    closed_at = models.DateTimeField(null=True)
    gathered_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "incident_case"
        ordering = ["-last_event_at"]
        constraints = [
            models.UniqueConstraint(fields=["identity"], condition=~Q(state="closed"), name="one_open_case_per_identity"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def ref(self) -> Ref:
        return Ref.to("case", self.id)


class VerdictCount(models.Model):
    """How often cases that a signal, or a source, led to were called what. Changed by the story that gives a verdict."""

    kind = models.TextField()
    name = models.TextField()
    true_positive = models.PositiveIntegerField(default=0)
    benign = models.PositiveIntegerField(default=0)
    harmless_but_right_to_stop = models.PositiveIntegerField(default=0)

    class Meta:
        db_table = "verdict_count"
        ordering = ["kind", "name"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "name"], name="one_count_per_signal_or_source"),
            models.CheckConstraint(condition=Q(kind__in=["signal", "source"]), name="what_verdicts_are_counted_for_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.judged} cases"

    @property
    def judged(self) -> int:
        return self.true_positive + self.benign + self.harmless_but_right_to_stop

    @property
    def precision(self) -> float | None:
        """Which share of the judged cases was what it looked like; None while nobody judged one."""
        return self.true_positive / self.judged if self.judged else None
