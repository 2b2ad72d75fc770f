"""The containment room in Django: connectors are configured here, because one of them acts on our own session gate."""

from __future__ import annotations

from django.apps import AppConfig


class ContainmentConfig(AppConfig):
    name = "containment"

    def ready(self) -> None:
        from containment import drift, duties, flow, gate, invariants, ladder, mass_undo, rotated, taken
        from playbooks import returning, switching

        gate.configure_connectors()
        from containment import protection, readiness

        protection.stand_guard()
        rotated.listen()
        readiness.look_after()
        duties.tidy_up(duties.Aside("invariants", invariants.check_due))
        duties.tidy_up(duties.Aside("drift", drift.look_due))
        switching.milder.append(flow.wake_held_back)
        duties.look_after(ladder.ask_due)
        duties.look_after(duties.Aside("taken, soon", taken.gather_soon))
        duties.tidy_up(duties.Aside("taken", taken.gather_due))
        duties.look_after(returning.end_due)
        duties.look_after(mass_undo.go_on)
