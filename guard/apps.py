"""The guard room in Django."""

from __future__ import annotations

from django.apps import AppConfig


class GuardConfig(AppConfig):
    name = "guard"

    def ready(self) -> None:
        from containment import duties
        from guard import chain

        duties.look_after(chain.chain_due)
        duties.tidy_up(chain.tidy)
