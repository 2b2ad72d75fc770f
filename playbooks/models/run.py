"""A run: one playbook version carried out once on one frozen target."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.ids import uuid7
from core.refs import Ref
from playbooks.domain.moves import LIVE
from playbooks.models.playbook import PlaybookVersion


class Run(models.Model):
    """`plan` holds the rendered steps of every stage as they were frozen; `plan_digest` is what an approver sees and answers.

    The lease belongs to one worker until `lease_until`; `fence` counts the claims, and a write that carries an older fence is refused.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    playbook = models.ForeignKey(PlaybookVersion, on_delete=models.PROTECT)
    identity_ref = models.TextField()
    case_ref = models.TextField()
    decision_ref = models.TextField()
    control_family = models.TextField(default="access")
    target = models.JSONField()
    plan = models.JSONField()
    plan_digest = models.TextField()
    stage = models.TextField(default="soft")
    state = models.TextField(default="prepared")
    because = models.TextField(default="")
    engine_version = models.PositiveIntegerField(default=1)

    lease_owner = models.TextField(default="")
    fence = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    next_at = models.DateTimeField(null=True)
    crash_count = models.PositiveIntegerField(default=0)
    last_executor = models.TextField(default="")

    created_at = models.DateTimeField()
    released_at = models.DateTimeField(null=True)
    contained_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    proof_level = models.TextField(default="")
    residual_until = models.DateTimeField(null=True)
    undo_reason = models.TextField(default="")
    undo_by = models.TextField(default="")
    undo_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "run"
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["identity_ref", "control_family"], condition=Q(state__in=sorted(LIVE)), name="one_live_run_per_identity_and_family"
            ),
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="run_due"),
            models.Index(fields=["case_ref"], name="run_by_case"),
            models.Index(fields=["identity_ref", "undo_at"], condition=Q(undo_at__isnull=False), name="runs_that_were_undone"),
        ]

    def __str__(self) -> str:
        return f"run {self.id} {self.state}"

    @property
    def ref(self) -> Ref:
        return Ref.to("run", self.id)

    @property
    def about(self) -> list[Ref]:
        return [Ref.parse(self.case_ref), Ref.parse(self.identity_ref)]
