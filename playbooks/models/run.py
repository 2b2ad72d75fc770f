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

    `terms` holds what the playbook says beside its steps, frozen with them: how long it lasts, the ladder, the way back. `wants`: the stage
    that the soft one calls for, where people are to be asked first. `lasts_until`: a containment with a time limit ends then by itself.
    `level`: how far a return in stages has come. `looked_at`, `drifted`: when somebody last looked whether it still stands, and what was
    found instead.

    `next_at` is when it is due; an accepted run is, until its targets forgot what they keep for an undo (forgetting.py).

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
    terms = models.JSONField(default=dict)
    wants = models.TextField(default="")
    lasts_until = models.DateTimeField(null=True)
    level = models.PositiveIntegerField(default=0)
    looked_at = models.DateTimeField(null=True)
    drifted = models.JSONField(default=list)
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
            models.Index(fields=["lasts_until"], condition=Q(lasts_until__isnull=False), name="runs_that_end_by_themselves"),
            models.Index(fields=["created_at"], condition=~Q(wants=""), name="runs_that_want_more"),
        ]

    def __str__(self) -> str:
        return f"run {self.id} {self.state}"

    @property
    def ref(self) -> Ref:
        return Ref.to("run", self.id)

    @property
    def about(self) -> list[Ref]:
        return [Ref.parse(self.case_ref), Ref.parse(self.identity_ref)]
