"""Many runs undone at once: what was asked for, by whom, who agreed, and what became of each."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from core.ids import uuid7
from core.refs import Ref


class MassUndo(models.Model):
    """`picks`: what the runs have in common (policy version, source, playbook, from, until). `digest`: over the frozen list that
    both saw."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    picks = models.JSONField()
    reason = models.TextField()
    digest = models.TextField()
    state = models.TextField(default="asked")
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    asked_at = models.DateTimeField()
    approved_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "mass_undo"
        ordering = ["-asked_at"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["asked", "approved", "done", "withdrawn"]), name="mass_undo_state_is_known"),
            models.CheckConstraint(condition=Q(approver__isnull=True) | ~Q(approver=F("requester")), name="mass_undo_takes_two_people"),
            models.CheckConstraint(
                condition=~Q(state__in=["approved", "done"]) | Q(approver__isnull=False), name="mass_undo_is_approved_by_somebody"
            ),
        ]

    def __str__(self) -> str:
        return f"mass undo {self.state}"

    @property
    def ref(self) -> Ref:
        return Ref.to("mass_undo", self.id)


class MassUndoMember(models.Model):
    """`next_at`: when its run is asked to undo next, or looked at; None once it is known what became of it."""

    id = models.BigAutoField(primary_key=True)
    mass_undo = models.ForeignKey(MassUndo, on_delete=models.CASCADE, related_name="members")
    run_ref = models.TextField()
    identity_ref = models.TextField()
    state = models.TextField(default="waiting")
    said = models.TextField(default="")
    next_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "mass_undo_member"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["mass_undo", "run_ref"], name="one_member_per_run_of_a_mass_undo"),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "undoing", "undone", "drifted", "refused"]), name="mass_undo_member_state_is_known"
            ),
        ]
        indexes = [models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="mass_undo_member_due")]

    def __str__(self) -> str:
        return f"{self.run_ref} {self.state}"
