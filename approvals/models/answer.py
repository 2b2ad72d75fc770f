"""One person's answer to one hold, with the digest of the plan that was on their screen. Rows are final."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Cast

from approvals.models.hold import Hold
from core.ids import uuid7


class Answer(models.Model):
    """`principal` is what four-eyes rules compare, and since only people answer it is the person's own id."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, related_name="answers")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    principal = models.TextField()
    word = models.TextField()
    plan_digest = models.TextField()
    reason = models.TextField(blank=True, default="")
    at = models.DateTimeField()

    class Meta:
        db_table = "hold_answer"
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(fields=["hold", "person"], name="one_answer_per_person_and_hold"),
            models.CheckConstraint(
                condition=Q(principal=Cast("person_id", output_field=models.TextField())),
                name="an_answer_is_given_by_the_person_themselves",
            ),
            models.CheckConstraint(condition=Q(word__in=["approve", "reject"]), name="an_answer_is_approve_or_reject"),
            models.CheckConstraint(condition=~Q(word="reject") | ~Q(reason=""), name="a_rejection_says_why"),
        ]

    def __str__(self) -> str:
        return f"{self.word} by {self.person_id}"
