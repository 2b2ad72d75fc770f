"""What identities do: the raw feed for a bounded time, and what they usually do, learned from it, in bounded room.

An event is one row of Activity until its time is over. What it taught stays: one Baseline per identity, role, workflow and tenant (and one
with all of them empty, the identity's own), a bounded number of habits each, and the daily use that says whom a cut would hurt.
"""

from __future__ import annotations

from django.db import models

from containment.models.detection import Source
from containment.models.identity import Credential, Identity
from containment.models.resource import Resource
from containment.models.session import Session
from core.ids import uuid7


class Activity(models.Model):
    """One event as a feed told it, written once and gone when its time is over. `learned`: the baselines took it in."""

    id = models.BigAutoField(primary_key=True)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+")
    external_id = models.TextField(null=True)
    identity = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="activity")
    session = models.ForeignKey(Session, on_delete=models.PROTECT, null=True, related_name="activity")
    resource = models.ForeignKey(Resource, on_delete=models.PROTECT, null=True, related_name="+")
    action = models.TextField()
    count = models.PositiveIntegerField(default=1)
    tool = models.TextField(blank=True, default="")
    writes = models.BooleanField(null=True)
    system = models.TextField(blank=True, default="")
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    learned = models.BooleanField(default=True)

    class Meta:
        db_table = "activity"
        ordering = ["-occurred_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["source", "external_id"], name="one_activity_per_source_and_external_id")]
        indexes = [
            models.Index(
                fields=["session", "action", "occurred_at"], condition=models.Q(session__isnull=False), name="activity_by_session"
            ),
            models.Index(fields=["identity", "occurred_at"], name="activity_by_identity"),
            models.Index(fields=["received_at"], name="activity_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.action} at {self.occurred_at:%Y-%m-%d %H:%M:%S}"


class Trail(models.Model):
    """The last steps of one session, and when it first and last took each action. Without a session: of what an identity did outside of
    any that was named. `kept` is what containment.domain.trail writes."""

    id = models.BigAutoField(primary_key=True)
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="+")
    session = models.ForeignKey(Session, on_delete=models.CASCADE, null=True, related_name="+")
    newest_at = models.DateTimeField()
    kept = models.JSONField(default=dict)

    class Meta:
        db_table = "trail"
        ordering = ["-newest_at"]
        constraints = [models.UniqueConstraint(fields=["identity", "session"], nulls_distinct=False, name="one_trail_per_session")]
        indexes = [models.Index(fields=["newest_at"], name="trail_by_age")]

    def __str__(self) -> str:
        return f"trail of {self.session_id or self.identity_id}"


class Baseline(models.Model):
    """What one identity usually does in one role, workflow and tenant. `learned` is the compact rest: days, counts and rate windows, as
    containment.domain.baseline writes it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="baselines")
    role = models.TextField(blank=True, default="")
    workflow = models.TextField(blank=True, default="")
    tenant = models.TextField(blank=True, default="")
    events = models.PositiveBigIntegerField(default=0)
    newest_at = models.DateTimeField(null=True)
    oldest_at = models.DateTimeField(null=True)
    learned = models.JSONField(default=dict)

    class Meta:
        db_table = "baseline"
        ordering = ["identity", "role", "workflow", "tenant"]
        constraints = [
            models.UniqueConstraint(fields=["identity", "role", "workflow", "tenant"], name="one_baseline_per_identity_and_part")
        ]

    def __str__(self) -> str:
        return " · ".join(part for part in (self.role, self.workflow, self.tenant) if part) or "the identity's own"


class Habit(models.Model):
    """One thing that a baseline knows: a resource (kind, key), an action, a pair of actions, or a move between two systems."""

    id = models.BigAutoField(primary_key=True)
    baseline = models.ForeignKey(Baseline, on_delete=models.CASCADE, related_name="habits")
    about = models.TextField()
    one = models.TextField()
    two = models.TextField(blank=True, default="")
    count = models.PositiveBigIntegerField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        db_table = "habit"
        ordering = ["-last_at"]
        constraints = [
            models.UniqueConstraint(fields=["baseline", "about", "one", "two"], name="one_habit_per_baseline_and_thing"),
            models.CheckConstraint(
                condition=models.Q(about__in=["resource", "action", "pair", "move"]), name="habit_is_about_something_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.about} {self.one} {self.two}".rstrip()


class DailyUse(models.Model):
    """How much honest work went through one session, workflow and credential on one day. What a cut would refuse is counted from it."""

    id = models.BigAutoField(primary_key=True)
    identity = models.ForeignKey(Identity, on_delete=models.CASCADE, related_name="+")
    day = models.DateField()
    session = models.ForeignKey(Session, on_delete=models.CASCADE, null=True, related_name="+")
    workflow = models.TextField(blank=True, default="")
    credential = models.ForeignKey(Credential, on_delete=models.CASCADE, null=True, related_name="+")
    events = models.PositiveBigIntegerField(default=0)

    class Meta:
        db_table = "daily_use"
        ordering = ["-day"]
        constraints = [
            models.UniqueConstraint(
                fields=["identity", "day", "session", "workflow", "credential"], nulls_distinct=False, name="one_daily_use_per_way"
            )
        ]
        indexes = [models.Index(fields=["credential", "day"], condition=models.Q(credential__isnull=False), name="daily_use_by_credential")]

    def __str__(self) -> str:
        return f"{self.events} on {self.day}"
