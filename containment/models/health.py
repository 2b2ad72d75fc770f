"""What was looked after: whether each connector can do what playbooks ask of it, and whether what must always be true is."""

from __future__ import annotations

from django.db import models

from core.ids import uuid7


class Readiness(models.Model):
    """The last preflight of one measure on one target of a provider (`subject` empty: any). `remedy`: commands that give what lacks."""

    id = models.BigAutoField(primary_key=True)
    provider = models.TextField()
    measure = models.TextField()
    subject = models.TextField(default="")
    can = models.BooleanField()
    missing = models.JSONField(default=list)
    remedy = models.JSONField(default=list)
    too_much = models.JSONField(default=list)
    checked_at = models.DateTimeField()

    class Meta:
        db_table = "readiness"
        ordering = ["provider", "subject", "measure"]
        constraints = [models.UniqueConstraint(fields=["provider", "measure", "subject"], name="one_readiness_per_measure_and_target")]

    def __str__(self) -> str:
        return f"{self.provider} {self.measure} {'can' if self.can else 'cannot'}"


class InvariantCheck(models.Model):
    """One look at everything that must always be true. `found`: {name of the invariant: [what breaks it …]}; empty where all holds."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    at = models.DateTimeField()
    took_ms = models.PositiveIntegerField()
    looked_at = models.PositiveIntegerField()
    found = models.JSONField(default=dict)

    class Meta:
        db_table = "invariant_check"
        ordering = ["-at"]
        indexes = [models.Index(fields=["-at"], name="invariant_checks_by_time")]

    def __str__(self) -> str:
        return f"{len(self.found)} broken"
