"""What was decided, because of what, under which policy version; and the budget that automatic containment spends."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from approvals.models import ExceptionGrant, Hold
from containment.models.case import Case
from containment.models.detection import Detection, Source
from containment.models.identity import Identity
from containment.models.policy import RiskPolicyVersion
from core.ids import uuid7
from core.refs import Ref
from playbooks.models import Run


class Decision(models.Model):
    """`waterfall` is the whole computation, `facts` what it looked at, `digest` over both. `generation` is above 0 only with a named
    cause.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    detection = models.ForeignKey(Detection, on_delete=models.PROTECT, related_name="decisions")
    policy = models.ForeignKey(RiskPolicyVersion, on_delete=models.PROTECT)
    generation = models.PositiveIntegerField(default=0)
    cause = models.TextField(blank=True, default="")
    verdict = models.TextField()
    stage = models.TextField(blank=True, default="")
    sentence = models.PositiveSmallIntegerField()
    because = models.TextField()
    would_have = models.TextField(blank=True, default="")
    risk = models.DecimalField(max_digits=4, decimal_places=1)
    soft = models.DecimalField(max_digits=4, decimal_places=1)
    hard = models.DecimalField(max_digits=4, decimal_places=1)
    signals = models.JSONField(default=list)
    waterfall = models.JSONField(default=dict)
    facts = models.JSONField(default=dict)
    digest = models.TextField()
    playbook = models.TextField(blank=True, default="")
    passed_over = models.JSONField(default=list)
    case = models.ForeignKey(Case, on_delete=models.PROTECT, null=True, related_name="decisions")
    run = models.ForeignKey(Run, on_delete=models.PROTECT, null=True, related_name="decisions")
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, null=True, related_name="decisions")
    grant = models.ForeignKey(ExceptionGrant, on_delete=models.PROTECT, null=True, related_name="decisions")
    decided_at = models.DateTimeField()

    class Meta:
        db_table = "decision"
        ordering = ["-decided_at"]
        constraints = [
            models.UniqueConstraint(fields=["detection", "policy", "generation"], name="one_decision_per_detection_policy_generation"),
            models.CheckConstraint(condition=Q(generation=0) | ~Q(cause=""), name="a_later_generation_names_its_cause"),
            models.CheckConstraint(condition=~Q(verdict="contain") | Q(run__isnull=False), name="a_contain_has_a_run"),
            models.CheckConstraint(
                condition=~Q(verdict="hold") | Q(hold__isnull=False, run__isnull=False), name="a_hold_has_a_run_and_a_hold"
            ),
        ]
        indexes = [models.Index(fields=["decided_at"], name="decision_by_time")]

    def __str__(self) -> str:
        return f"{self.verdict} at {self.risk}"

    @property
    def ref(self) -> Ref:
        return Ref.to("decision", self.id)


class ContainmentSpend(models.Model):
    """One automatic containment, or interim stage, spent in the transaction that created its run."""

    identity = models.ForeignKey(Identity, on_delete=models.PROTECT, related_name="+")
    kind = models.TextField()
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()

    class Meta:
        db_table = "containment_spend"
        indexes = [models.Index(fields=["at"], name="spend_by_time")]

    def __str__(self) -> str:
        return f"{self.identity_id} at {self.at}"


class BudgetLock(models.Model):
    """One row, locked before a provisional contain counts what is left, so that no two spend the same last unit. `sizes`: how many
    identities of a kind there were, and when that was counted.
    """

    name = models.TextField(primary_key=True, default="containment")
    sizes = models.JSONField(default=dict)

    class Meta:
        db_table = "budget_lock"

    def __str__(self) -> str:
        return self.name


class BudgetAlarm(models.Model):
    """The budget was spent, for the first time in a window; `refused` counts the identities that it did not cover since."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    limit = models.TextField()  # hour (of a source), day, kind
    scope = models.TextField()
    allowed = models.PositiveIntegerField()
    said = models.TextField()
    raised_at = models.DateTimeField()
    last_at = models.DateTimeField()
    refused = models.PositiveIntegerField(default=1)

    class Meta:
        db_table = "budget_alarm"
        indexes = [models.Index(fields=["last_at"], name="budget_alarm_by_time")]

    def __str__(self) -> str:
        return f"{self.said}, refused {self.refused}"

    @property
    def ref(self) -> Ref:
        return Ref.to("budget", self.id)
