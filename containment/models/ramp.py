"""What enforcing rests on besides the policy: that somebody read the protected list, and that the connectors can do what plans ask."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from core.ids import uuid7
from core.refs import Ref


class ProtectedConfirmation(models.Model):
    """A person read the protected list and says that it is whole. `identities` is the list as they saw it. Final."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    identities = models.JSONField(default=list)
    at = models.DateTimeField()

    class Meta:
        db_table = "protected_confirmation"
        ordering = ["-at"]
        indexes = [models.Index(fields=["at"], name="protected_confirmation_time")]

    def __str__(self) -> str:
        return f"{len(self.identities)} protected, at {self.at}"

    @property
    def ref(self) -> Ref:
        return Ref.to("confirmation", self.id)


class PreflightCheck(models.Model):
    """What the connector of one provider said about one kind of identity in one environment: can the plans be carried out there?

    `lacks` are (what is missing, the command that gives it) pairs; `looked_at` how many identities it was asked about. Final.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.TextField()
    environment = models.TextField(blank=True, default="")
    provider = models.TextField()
    green = models.BooleanField()
    lacks = models.JSONField(default=list)
    looked_at = models.PositiveSmallIntegerField(default=0)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    at = models.DateTimeField()

    class Meta:
        db_table = "preflight_check"
        ordering = ["-at"]
        indexes = [models.Index(fields=["kind", "environment", "at"], name="preflight_check_by_cell")]

    def __str__(self) -> str:
        return f"{self.provider}: {'green' if self.green else 'not green'}"

    @property
    def ref(self) -> Ref:
        return Ref.to("preflight", self.id)
