"""What is acted on."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.ids import uuid7
from core.refs import Ref

SENSITIVITIES = ("low", "moderate", "high", "critical", "unknown")


class Resource(models.Model):
    """Key: (kind, key). `system` is where it lives (a database, a mail service, an MCP server); empty where nobody said."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.TextField()
    key = models.TextField()
    sensitivity = models.TextField(default="unknown")
    admin_api = models.BooleanField(default=False)
    environment = models.TextField(blank=True, default="")
    tenant = models.TextField(blank=True, default="")
    system = models.TextField(blank=True, default="")
    discovered_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "resource"
        ordering = ["kind", "key"]
        constraints = [
            models.UniqueConstraint(fields=["kind", "key"], name="one_resource_per_kind_and_key"),
            models.CheckConstraint(condition=Q(sensitivity__in=SENSITIVITIES), name="resource_sensitivity_is_known"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    @property
    def ref(self) -> Ref:
        return Ref.to("resource", self.id)
