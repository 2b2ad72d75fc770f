"""What was already taken: each thing that got away before an identity was cut, open until somebody settled it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from containment.models.case import Case
from core.ids import uuid7
from core.refs import Ref

TAKEN_KINDS = ("secret_read", "grant_made", "session_elsewhere")
TAKEN_STATES = ("open", "cut", "cleared", "accepted")


class Taken(models.Model):
    """`key`: what it is, in the words of its system, once per case and kind. `about_ref`: the identity, credential or session that it
    opens, where the inventory knows it. (Minted credentials have rows of their own.)"""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    case = models.ForeignKey(Case, on_delete=models.CASCADE, related_name="taken")
    kind = models.TextField()
    key = models.TextField()
    said = models.TextField()
    about_ref = models.TextField(default="")
    first_at = models.DateTimeField()
    found_at = models.DateTimeField()
    state = models.TextField(default="open")
    cut_by_ref = models.TextField(default="")
    settled_by = models.TextField(default="")
    settled_by_name = models.TextField(default="")
    settled_at = models.DateTimeField(null=True)
    because = models.TextField(default="")

    class Meta:
        db_table = "taken"
        ordering = ["first_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["case", "kind", "key"], name="one_line_per_thing_taken"),
            models.CheckConstraint(condition=Q(kind__in=TAKEN_KINDS), name="kind_of_what_was_taken_is_known"),
            models.CheckConstraint(condition=Q(state__in=TAKEN_STATES), name="state_of_what_was_taken_is_known"),
            models.CheckConstraint(
                condition=Q(state="open") | (Q(settled_at__isnull=False) & ~Q(settled_by="")), name="what_was_taken_is_settled_by_somebody"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    @property
    def ref(self) -> Ref:
        return Ref.to("taken", self.id)
