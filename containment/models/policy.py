"""The risk policy: a versioned document. In force only when a manager other than its author approved it."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from core.ids import uuid7
from core.refs import Ref


class RiskPolicyVersion(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.PositiveIntegerField(unique=True)
    text = models.TextField()
    digest = models.TextField()
    state = models.TextField(default="draft")
    shipped = models.BooleanField(default=False)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    drafted_at = models.DateTimeField()
    in_force_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "risk_policy_version"
        ordering = ["-version"]
        constraints = [
            models.UniqueConstraint(fields=["state"], condition=Q(state="in_force"), name="one_risk_policy_in_force"),
            models.CheckConstraint(
                condition=Q(author__isnull=True) | Q(approver__isnull=True) | ~Q(author=F("approver")),
                name="policy_author_does_not_approve",
            ),
            models.CheckConstraint(
                condition=~Q(state="in_force") | Q(shipped=True) | Q(approver__isnull=False), name="policy_in_force_is_approved"
            ),
        ]

    def __str__(self) -> str:
        return f"policy v{self.version}"

    @property
    def ref(self) -> Ref:
        return Ref.to("policy", self.id)
