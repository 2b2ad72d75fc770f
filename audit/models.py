"""Audit entries and the head of their chain. Rows are final: a trigger refuses changes, and the application's database role has no right
to them.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class AuditEntry(models.Model):
    """One thing that somebody did. `body` is the canonical JSON that `body_digest` covers, so a body can be erased and the chain still
    holds.
    """

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    verb = models.TextField()
    actor = models.TextField()
    actor_name = models.TextField()
    subject = models.TextField()
    about = ArrayField(models.TextField(), default=list)
    body = models.TextField()
    body_digest = models.TextField()
    prev = models.TextField()
    hash = models.TextField()

    class Meta:
        db_table = "audit_entry"
        ordering = ["-seq"]
        indexes = [
            models.Index(fields=["subject", "seq"], name="audit_by_subject"),
            models.Index(fields=["verb", "seq"], name="audit_by_verb"),
            models.Index(fields=["actor", "seq"], name="audit_by_actor"),
            models.Index(fields=["at", "seq"], name="audit_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.verb} {self.subject}"


class AuditHead(models.Model):
    """The last link of the chain. One row; locked last in every story, so that entries have one order."""

    chain = models.TextField(primary_key=True, default="main")
    seq = models.BigIntegerField(default=0)
    hash = models.TextField()

    class Meta:
        db_table = "audit_head"

    def __str__(self) -> str:
        return f"{self.chain} at {self.seq}"
