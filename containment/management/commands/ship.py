"""Put the shipped risk policy and playbooks in force where there are none yet. Safe to call at every deployment.

The policy comes in observe mode: decisions are recorded as "would have", and nothing is done, held or spent until two people change that.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from containment import policies
from containment.domain.policy import Mode
from playbooks import library


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        policy = policies.ship(mode=Mode.OBSERVE)
        if policy is None:
            self.stdout.write(f"Policy version {policies.in_force().version} stays in force.")
        else:
            self.stdout.write(f"Policy version {policy.version} is in force, in observe mode.")
        shipped = library.ship()
        for version in shipped:
            rest = "is in force" if version.state == "in_force" else "waits for somebody's word: yours are in force"
            self.stdout.write(f"The playbook {version} {rest}.")
        if not shipped:
            self.stdout.write("Every shipped playbook was here already.")
