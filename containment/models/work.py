"""Agent profiles and workflows: versioned documents that say which work was approved. In force after approval by someone else."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from core.ids import uuid7
from core.refs import Ref


class WorkDocument(models.Model):
    """`body` of both kinds: {"roles": […], "purposes": {role: […]}, "actions": […], "resources": [pattern …], "tools": [{"name",
    "writes"}], "systems": […], "joins": [[a, b] …], "bounds": {…}, "budgets": {…}, "environments": […], "ttl_minutes": n}; what is left
    out allows nothing."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.TextField()
    name = models.TextField()
    version = models.PositiveIntegerField()
    body = models.JSONField()
    digest = models.TextField()
    state = models.TextField(default="draft")
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    drafted_at = models.DateTimeField()
    in_force_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "work_document"
        ordering = ["kind", "name", "-version"]
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=["agent_profile", "workflow"]), name="work_document_kind_is_known"),
            models.UniqueConstraint(fields=["kind", "name", "version"], name="one_text_per_work_document_version"),
            models.UniqueConstraint(fields=["kind", "name"], condition=Q(state="in_force"), name="one_work_document_in_force"),
            models.CheckConstraint(
                condition=Q(approver__isnull=True) | ~Q(approver=F("author")), name="work_document_author_does_not_approve"
            ),
            models.CheckConstraint(condition=~Q(state="in_force") | Q(approver__isnull=False), name="work_document_in_force_is_approved"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} v{self.version}"

    @property
    def ref(self) -> Ref:
        return Ref.to("work", self.id)
