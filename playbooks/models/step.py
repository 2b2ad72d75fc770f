"""A step: one measure in a run. An attempt: one line of its journal, written once."""

from __future__ import annotations

from django.db import models

from core.ids import uuid7
from core.refs import Ref
from playbooks.models.run import Run


class Step(models.Model):
    """`was` is what `look` saw before the first attempt, committed before acting so that undo never guesses; its secret part is sealed.

    `key` names the step's effect to the target: every attempt carries the same one.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps")
    seq = models.PositiveIntegerField()
    stage = models.TextField()
    measure = models.TextField()
    connector = models.TextField()
    parameters = models.JSONField(default=dict)
    timeout_s = models.FloatField(default=10)
    on_failure = models.TextField(default="stop")
    disruptive = models.BooleanField(default=True)
    effect = models.TextField()
    on_ambiguous = models.TextField()
    inverse = models.TextField()
    settle_s = models.FloatField(default=30)

    state = models.TextField(default="planned")
    key = models.UUIDField(default=uuid7)
    attempts = models.PositiveIntegerField(default=0)
    performed = models.BooleanField(default=False)
    was = models.JSONField(null=True)
    was_sealed = models.BinaryField(null=True)
    said = models.TextField(default="")
    left = models.JSONField(default=list)
    diff = models.JSONField(null=True)
    proof_level = models.TextField(default="")
    proof = models.JSONField(default=dict)
    next_at = models.DateTimeField(null=True)
    verify_until = models.DateTimeField(null=True)
    residual_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    settled_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "run_step"
        ordering = ["run", "seq"]
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="one_step_per_place_in_a_run")]

    def __str__(self) -> str:
        return f"{self.measure} {self.state}"

    @property
    def ref(self) -> Ref:
        return Ref.to("step", self.id)


class Attempt(models.Model):
    """The journal of a step: an intent before each outside call, an outcome after it. Rows are final."""

    id = models.BigAutoField(primary_key=True)
    step = models.ForeignKey(Step, on_delete=models.PROTECT, related_name="journal")
    n = models.PositiveIntegerField()
    direction = models.TextField()
    kind = models.TextField()
    at = models.DateTimeField()
    fence = models.BigIntegerField()
    worker = models.TextField()
    executor = models.TextField()
    outcome = models.TextField(default="")
    said = models.TextField(default="")

    class Meta:
        db_table = "run_attempt"
        ordering = ["id"]
        indexes = [models.Index(fields=["executor"], name="attempt_by_executor")]

    def __str__(self) -> str:
        return f"{self.direction} {self.kind} {self.n}"
