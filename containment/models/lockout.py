"""Not locking ourselves out: whose accounts people have, and whom connectors ask to protect."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from containment.models.identity import Identity
from core.ids import uuid7
from core.refs import Ref


class PersonIdentity(models.Model):
    """An identity that is a person's own account somewhere: who signs in here with it, or answers with it."""

    id = models.BigAutoField(primary_key=True)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    identity = models.OneToOneField(Identity, on_delete=models.CASCADE, related_name="belongs_to")
    linked_at = models.DateTimeField()

    class Meta:
        db_table = "person_identity"

    def __str__(self) -> str:
        return f"{self.identity_id} of {self.person_id}"


class ProtectionProposal(models.Model):
    """A connector says that a subject in its system is ours, or its last administrator. Open until a person agrees or not."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.TextField()
    subject = models.TextField()
    because = models.TextField()
    state = models.TextField(default="open")
    proposed_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    answered_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        db_table = "protection_proposal"
        ordering = ["provider", "subject"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "subject"], name="one_proposal_per_subject"),
            models.CheckConstraint(condition=Q(state__in=["open", "agreed", "declined"]), name="state_of_a_proposal_is_known"),
            models.CheckConstraint(condition=Q(state="open") | Q(answered_by__isnull=False), name="a_proposal_is_answered_by_somebody"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}:{self.subject}"

    @property
    def ref(self) -> Ref:
        return Ref.to("proposal", self.id)
