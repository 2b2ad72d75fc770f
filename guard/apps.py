"""The guard room in Django."""

from __future__ import annotations

from django.apps import AppConfig


class GuardConfig(AppConfig):
    name = "guard"

    def ready(self) -> None:
        from containment import duties
        from containment import taken as what_was_taken
        from guard import chain, taken

        duties.look_after(chain.chain_due)
        duties.tidy_up(chain.tidy)
        what_was_taken.readers.append(taken.let_through)
