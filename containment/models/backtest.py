"""Backtests: a policy tried on what was decided, who opened what came out, and the short form of every decision that makes it quick."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from containment.models.decision import Decision
from containment.models.policy import RiskPolicyVersion
from core.ids import uuid7
from core.refs import Ref


class DecisionGist(models.Model):
    """What weighing needs of a decision's facts, whatever the policy, and what was decided then: one narrow row beside a wide one.

    `gist` is domain/gist.py's text, `risk` in tenths. A decision without one is judged in full.
    """

    decision = models.OneToOneField(Decision, on_delete=models.CASCADE, primary_key=True, related_name="gist")
    decided_at = models.DateTimeField()
    identity = models.UUIDField()
    source = models.TextField(blank=True, default="")
    verdict = models.TextField()
    stage = models.TextField(blank=True, default="")
    sentence = models.PositiveSmallIntegerField()
    risk = models.PositiveSmallIntegerField()
    gist = models.TextField()

    class Meta:
        db_table = "decision_gist"
        indexes = [models.Index(fields=["decided_at"], name="decision_gist_by_time")]

    def __str__(self) -> str:
        return self.gist


class Backtest(models.Model):
    """A question with its answer. `due` and `running` rows have a due time: a sweeper takes up what no worker carries on.

    `policy_digest` is over the very text, as a version's is. `whole`: it covers all history that there was. `result` is what
    domain/backtest.py counted; `done` of `events` are judged.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    policy_text = models.TextField()
    policy_digest = models.TextField()
    version = models.ForeignKey(RiskPolicyVersion, on_delete=models.PROTECT, null=True, related_name="backtests")
    since = models.DateTimeField()
    until = models.DateTimeField()
    whole = models.BooleanField(default=False)
    state = models.TextField(default="due")
    next_at = models.DateTimeField(null=True)
    events = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=dict)
    result = models.JSONField(default=dict)
    trouble = models.TextField(blank=True, default="")
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    made_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "backtest"
        ordering = ["-made_at"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["due", "running", "done", "failed"]), name="backtest_state_is_known"),
            models.CheckConstraint(
                condition=~Q(state__in=["due", "running"]) | Q(next_at__isnull=False), name="an_unfinished_backtest_is_due"
            ),
        ]
        indexes = [
            models.Index(fields=["policy_digest", "made_at"], name="backtest_by_policy"),
            models.Index(fields=["next_at"], condition=Q(next_at__isnull=False), name="backtest_due"),
        ]

    def __str__(self) -> str:
        return f"backtest of {self.version or 'a draft'}"

    @property
    def ref(self) -> Ref:
        return Ref.to("backtest", self.id)


class BacktestSlice(models.Model):
    """A part of the history, judged by one worker in one go: some days, and of these one shard of the identities.

    Due until it has its tally; who takes it up puts `next_at` off for as long as that may last, and leaves a ticket.
    """

    backtest = models.ForeignKey(Backtest, on_delete=models.CASCADE, related_name="slices")
    number = models.PositiveIntegerField()
    since = models.DateTimeField()
    until = models.DateTimeField()
    shard = models.PositiveSmallIntegerField(default=0)
    shards = models.PositiveSmallIntegerField(default=1)
    next_at = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    ticket = models.UUIDField(null=True)
    events = models.PositiveIntegerField(default=0)
    tally = models.JSONField(null=True)

    class Meta:
        db_table = "backtest_slice"
        constraints = [
            models.UniqueConstraint(fields=["backtest", "number"], name="one_slice_of_a_number"),
            models.CheckConstraint(condition=Q(tally__isnull=False) | Q(next_at__isnull=False), name="a_slice_is_due_until_it_has_a_tally"),
        ]

    def __str__(self) -> str:
        return f"slice {self.number}"


class BacktestSeen(models.Model):
    """That a person opened what came out, the first time."""

    backtest = models.ForeignKey(Backtest, on_delete=models.CASCADE, related_name="seen")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    seen_at = models.DateTimeField()

    class Meta:
        db_table = "backtest_seen"
        constraints = [models.UniqueConstraint(fields=["backtest", "person"], name="a_person_first_sees_a_backtest_once")]

    def __str__(self) -> str:
        return f"{self.person_id} at {self.seen_at}"
