"""A process says that it lives. Readiness and the "nothing is ever stuck silently" alarm read it."""

from __future__ import annotations

from django.db import models


class Heartbeat(models.Model):
    name = models.TextField(primary_key=True)
    kind = models.TextField()  # "turn": no process, but whose turn a common duty is
    at = models.DateTimeField()
    detail = models.JSONField(default=dict)

    class Meta:
        db_table = "heartbeat"

    def __str__(self) -> str:
        return self.name
