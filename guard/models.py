"""What the guard was asked and what it said: one row for each verdict, and the batches in which quiet verdicts enter the audit chain."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.ids import uuid7
from core.refs import Ref

VERDICTS = ("allow", "deny", "hold")
ASKABLE = ("approval_required", "approval_expired", "out_of_scope", "grant_pending", "approval_unverifiable")


class GuardBatch(models.Model):
    """Allowed calls that entered the audit chain together. `root`: the digest over their lines, in the order of their ids. `tidied_at`:
    their time was over, and the rows are gone."""

    id = models.BigAutoField(primary_key=True)
    chained_at = models.DateTimeField()
    count = models.PositiveIntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    root = models.TextField()
    tidied_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "guard_batch"
        ordering = ["-id"]
        indexes = [models.Index(fields=["last_at"], condition=Q(tidied_at__isnull=True), name="guard_batch_to_tidy")]

    def __str__(self) -> str:
        return f"{self.count} allowed calls"

    @property
    def ref(self) -> Ref:
        return Ref.to("guard_batch", self.id)


class GuardCall(models.Model):
    """One question and its answer. The id is the evaluation id that the answer carries.

    Written once for every question, so that other rows are named and not bound by foreign keys: each of those would lock the row that it
    names, and an answer must not wait for whoever works on that identity. `asked` False: the caller could not reach us, did what it had
    declared for that case, and told us afterwards. `asker`: which token of the principal (core/actor.py). `question`: the digest of who
    wanted what on what, which an approval is bound to. `batch` empty: a deny or hold, which entered the audit chain by itself, or an allow
    that is due to.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    asked_at = models.DateTimeField()
    asked = models.BooleanField(default=True)
    principal = models.TextField()
    asker = models.TextField(blank=True, default="", db_default="")
    request = models.TextField(blank=True, default="")
    question = models.TextField()
    identity = models.UUIDField()
    session = models.UUIDField(null=True)
    action = models.TextField()
    tool = models.TextField(blank=True, default="")
    resource_kind = models.TextField(blank=True, default="")
    resource = models.TextField(blank=True, default="")
    writes = models.BooleanField(null=True)
    verdict = models.TextField()
    reason = models.TextField()
    because = models.TextField(blank=True, default="")
    told = models.TextField(blank=True, default="")
    would_have = models.TextField(blank=True, default="")
    risk = models.FloatField(default=0.0)
    policy_version = models.PositiveIntegerField()
    digest = models.TextField(blank=True, default="")
    detection = models.UUIDField(null=True)
    hold = models.UUIDField(null=True)
    expires_at = models.DateTimeField()
    outcome = models.TextField(blank=True, default="")
    reported_at = models.DateTimeField(null=True)
    batch = models.BigIntegerField(null=True)

    class Meta:
        db_table = "guard_call"
        ordering = ["-asked_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(verdict__in=VERDICTS), name="guard_verdict_is_known"),
            models.CheckConstraint(
                condition=~Q(verdict="hold") | Q(hold__isnull=False) | Q(reason__in=ASKABLE), name="a_held_call_names_why"
            ),
            models.UniqueConstraint(fields=["principal", "request", "asker"], condition=~Q(request=""), name="one_verdict_per_request"),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(verdict="allow", batch__isnull=True), name="guard_call_to_chain"),
            models.Index(fields=["session", "asked_at"], condition=Q(session__isnull=False), name="guard_call_by_session"),
            models.Index(fields=["identity", "asked_at"], name="guard_call_by_identity"),
            models.Index(fields=["asked_at"], name="guard_call_by_time"),
            models.Index(fields=["batch"], condition=Q(batch__isnull=False), name="guard_call_by_batch"),
        ]

    def __str__(self) -> str:
        return f"{self.verdict} {self.tool or self.action}"

    @property
    def ref(self) -> Ref:
        return Ref.to("guard_call", self.id)
