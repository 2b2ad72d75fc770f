"""The risk policy: a versioned document. In force only when a manager other than its author approved it, two where it tightens anything."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from core.ids import uuid7
from core.refs import Ref

STATES = ("draft", "shadow", "in_force", "superseded")


class RiskPolicyVersion(models.Model):
    """`approvals_needed` and `supersedes` are set when it comes into force: how many people it took, and what it was compared with.

    `loosens_only`: one person put it in force at once, who wrote it themselves, because it does nothing but go back to observing.
    `shadow_since` and `shadow_until`: when it last ran beside the one in force, judged and never obeyed.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.PositiveIntegerField(unique=True)
    text = models.TextField()
    digest = models.TextField()
    state = models.TextField(default="draft")
    shipped = models.BooleanField(default=False)
    loosens_only = models.BooleanField(default=False)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    approver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    approvals_needed = models.PositiveSmallIntegerField(default=1)
    supersedes = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="+")
    drafted_at = models.DateTimeField()
    in_force_at = models.DateTimeField(null=True)
    shadow_since = models.DateTimeField(null=True)
    shadow_until = models.DateTimeField(null=True)
    shadow_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        db_table = "risk_policy_version"
        ordering = ["-version"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=STATES), name="policy_state_is_known"),
            models.UniqueConstraint(fields=["state"], condition=Q(state="in_force"), name="one_risk_policy_in_force"),
            models.UniqueConstraint(fields=["state"], condition=Q(state="shadow"), name="one_risk_policy_in_the_shadow"),
            models.CheckConstraint(
                condition=Q(author__isnull=True) | Q(approver__isnull=True) | ~Q(author=F("approver")) | Q(loosens_only=True),
                name="policy_author_does_not_approve",
            ),
            models.CheckConstraint(
                condition=~Q(state="in_force") | Q(shipped=True) | Q(approver__isnull=False), name="policy_in_force_is_approved"
            ),
            models.CheckConstraint(
                condition=Q(loosens_only=False) | Q(supersedes__isnull=False), name="a_step_back_leads_from_some_version"
            ),
        ]

    def __str__(self) -> str:
        return f"policy v{self.version}"

    @property
    def ref(self) -> Ref:
        return Ref.to("policy", self.id)


class PolicyApproval(models.Model):
    """One person's word for exactly one text, compared with exactly one version in force (`base`): a word given against another one
    counts no more. Final; the database refuses the author's.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.ForeignKey(RiskPolicyVersion, on_delete=models.PROTECT, related_name="approvals")
    base = models.ForeignKey(RiskPolicyVersion, on_delete=models.PROTECT, null=True, related_name="+")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    digest = models.TextField()
    untested = models.BooleanField(default=False)
    at = models.DateTimeField()

    class Meta:
        db_table = "policy_approval"
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "base", "person"], nulls_distinct=False, name="a_person_approves_a_policy_version_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.person_id} for {self.version_id}"


class ShadowDifference(models.Model):
    """One decision that the shadow version would have taken otherwise, or (`trouble`) could not take. Never acted on. Final."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.ForeignKey(RiskPolicyVersion, on_delete=models.PROTECT, related_name="differences")
    decision = models.ForeignKey("containment.Decision", on_delete=models.PROTECT, related_name="+")
    verdict = models.TextField(blank=True, default="")
    stage = models.TextField(blank=True, default="")
    would_have = models.TextField(blank=True, default="")
    risk = models.DecimalField(max_digits=4, decimal_places=1, null=True)
    soft = models.DecimalField(max_digits=4, decimal_places=1, null=True)
    hard = models.DecimalField(max_digits=4, decimal_places=1, null=True)
    because = models.TextField(blank=True, default="")
    trouble = models.TextField(blank=True, default="")
    at = models.DateTimeField()

    class Meta:
        db_table = "shadow_difference"
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["version", "decision"], name="a_shadow_judges_a_decision_once")]
        indexes = [models.Index(fields=["version", "at"], name="shadow_difference_by_time")]

    def __str__(self) -> str:
        return f"{self.verdict or 'trouble'} instead, {self.decision_id}"
