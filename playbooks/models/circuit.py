"""How a connector stands at one door, for all runs together."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q


class Circuit(models.Model):
    """One row per door that a connector was ever in trouble at: its name, and the host where it has several.

    Open since `open_since`: the target refuses our own credential, and said `said`. `tries`: when it was asked since then, the last few.
    `let_in_at`: when it last closed. `busy_until`: the target asked all of us for patience until then.
    """

    door = models.TextField(primary_key=True)
    connector = models.TextField()
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
        return f"{self.door}: {'open' if self.open_since else 'closed'}"
