"""How a connector stands with its target, for all runs together."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Circuit(models.Model):
    """One row per connector that was ever in trouble with its target.

    Open since `open_since`: the target refuses our own credential, and said `said`. `tries`: when it was asked since then, the last few.
    `let_in_at`: when it last closed. `busy_until`: the target asked all of us for patience until then.
    """

    connector = models.TextField(primary_key=True)
    open_since = models.DateTimeField(null=True)
    said = models.TextField(default="")
    tries = ArrayField(models.DateTimeField(), default=list)
    let_in_at = models.DateTimeField(null=True)
    busy_until = models.DateTimeField(null=True)

    class Meta:
        db_table = "connector_circuit"
        constraints = [
            models.CheckConstraint(condition=Q(open_since__isnull=True) | ~Q(said=""), name="an_open_circuit_says_why"),
        ]

    def __str__(self) -> str:
        return f"{self.connector}: {'open' if self.open_since else 'closed'}"
