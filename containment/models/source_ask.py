"""What somebody wants a source to be allowed beyond what it is allowed now. In force only once a second person confirmed exactly that."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from containment.models.detection import Source
from core.ids import uuid7
from core.refs import Ref


class SourceAsk(models.Model):
    """`was` and `wanted` hold the raised limits alone; `digest` is of all limits as they were to be when it was answered. `asked_by` and
    `answered_by` are principals: a token counts as the person who owns it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="asks")
    was = models.JSONField()
    wanted = models.JSONField()
    asked_by = models.TextField()
    asked_by_name = models.TextField()
    asked_at = models.DateTimeField()
    state = models.TextField(default="waiting")
    digest = models.TextField(blank=True, default="")
    answered_by = models.TextField(blank=True, default="")
    answered_by_name = models.TextField(blank=True, default="")
    answered_at = models.DateTimeField(null=True)
    because = models.TextField(blank=True, default="")

    class Meta:
        db_table = "source_ask"
        ordering = ["-asked_at"]
        constraints = [
            models.UniqueConstraint(fields=["source"], condition=Q(state="waiting"), name="one_raise_of_a_source_waits"),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "confirmed", "refused", "replaced"]), name="state_of_a_raise_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="confirmed") | (~Q(answered_by=F("asked_by")) & ~Q(answered_by="")),
                name="a_second_person_raises_a_source",
            ),
        ]

    def __str__(self) -> str:
        return f"{', '.join(sorted(self.wanted)).replace('_', ' ')} of {self.source}"

    @property
    def ref(self) -> Ref:
        return Ref.to("source_ask", self.id)
