"""The audit room in Django: after every migration the application's role gets its rights, and no more."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        post_migrate.connect(_grant, sender=self, dispatch_uid="grant-application-role")


def _grant(using: str, **_: Any) -> None:
    from audit import rights

    rights.grant(using)
