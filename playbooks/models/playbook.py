"""A published plan, one row per version. It never changes, and is in force only after someone other than its author approved its digest."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from core.ids import uuid7
from core.refs import Ref


class PlaybookVersion(models.Model):
    """`state`: draft, in_force, superseded, retired (no new run), revoked (harmful: its runs stop at their next boundary), dropped (a
    draft). `ended_*`: who retired or revoked it, and why."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.TextField()
    version = models.PositiveIntegerField()
    text = models.TextField()
    digest = models.TextField()
    kinds = ArrayField(models.TextField())
    drives = ArrayField(models.TextField(), default=list)
    pattern = models.TextField(default="any")
    state = models.TextField(default="draft")
    shipped = models.BooleanField(default=False)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    drafted_at = models.DateTimeField()
    in_force_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    ended_because = models.TextField(default="")

    class Meta:
        db_table = "playbook_version"
        ordering = ["name", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="one_text_per_playbook_version"),
            models.UniqueConstraint(fields=["name"], condition=Q(state="in_force"), name="one_version_in_force_per_playbook"),
            models.CheckConstraint(
                condition=~Q(author=F("approver")) | Q(author__isnull=True) | Q(approver__isnull=True),
                name="playbook_author_does_not_approve",
            ),
            models.CheckConstraint(
                condition=~Q(state="in_force") | Q(shipped=True) | Q(approver__isnull=False),
                name="playbook_in_force_is_approved",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "in_force", "superseded", "retired", "revoked", "dropped"]), name="playbook_state_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    @property
    def ref(self) -> Ref:
        return Ref.to("playbook", self.id)
