"""Two entries that turned out to be one identity, and what moved from one to the other, so that a split can put exactly that back."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from containment.models.identity import Identity
from core.ids import uuid7


class Merge(models.Model):
    """`moved` holds the ids of what followed: {"aliases", "sessions", "designations", "uses": [id …], "cases", "renamed": {session: name},
    "dropped_uses": [[credential, workflow] …], "protected": true where the mark came over}."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    identity = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="merges")
    into = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="taken_in")
    because = models.TextField()
    moved = models.JSONField(default=dict)
    merged_by = models.TextField()
    merged_at = models.DateTimeField()
    split_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "identity_merge"
        ordering = ["-merged_at"]
        constraints = [
            models.UniqueConstraint(fields=["identity"], condition=Q(split_at__isnull=True), name="an_identity_is_merged_into_one_other"),
            models.CheckConstraint(condition=~Q(identity=F("into")), name="no_identity_is_merged_into_itself"),
        ]

    def __str__(self) -> str:
        return f"{self.identity_id} is {self.into_id}"
