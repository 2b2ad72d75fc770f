"""What a session used of its budgets, and where it has seen which values: as keyed fingerprints, never as text."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from containment.models.session import Session


class SessionUse(models.Model):
    """One row per session; whoever counts holds its lock. `windows`: for each period, when its window began and what went into it since:
    {"hour": {"from": "…", "calls": 3, "writes": 1, "bytes": 0, "money": 12.5}}. `marks`: how many values it remembers; at the limit
    `full_at` is set, and what is new since then counts as seen nowhere."""

    session = models.OneToOneField(Session, on_delete=models.CASCADE, primary_key=True, related_name="use")
    windows = models.JSONField(default=dict)
    marks = models.PositiveIntegerField(default=0)
    full_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "session_use"

    def __str__(self) -> str:
        return str(self.session_id)


class SessionMark(models.Model):
    """A value that a session has seen, as a fingerprint under a key of this session alone. `seen` adds up where (domain/intent.py).
    `touched_at`: the last time that a call went to it, for those that are places."""

    id = models.BigAutoField(primary_key=True)
    session = models.ForeignKey(Session, on_delete=models.CASCADE, related_name="+", db_index=False)
    mark = models.BinaryField(max_length=16)
    seen = models.PositiveSmallIntegerField(default=0)
    touched_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "session_mark"
        constraints = [
            models.UniqueConstraint(fields=["session", "mark"], name="one_mark_per_session_and_value"),
            models.CheckConstraint(condition=Q(seen__lte=31), name="where_a_value_was_seen_is_known"),
        ]
        indexes = [models.Index(fields=["session", "touched_at"], condition=Q(touched_at__isnull=False), name="session_mark_touched")]

    def __str__(self) -> str:
        return f"{self.session_id} {self.seen}"
