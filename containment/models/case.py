"""A case: the story of one identity while something is wrong. At most one is open per identity."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from containment.models.identity import Identity
from core.ids import uuid7
from core.refs import Ref


class Case(models.Model):
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
    closed_at = models.DateTimeField(null=True)

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
