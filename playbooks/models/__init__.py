"""Rows of what is done: published plans, the runs that carry them out, and their steps."""

from playbooks.models.circuit import Circuit
from playbooks.models.claim import ControlClaim
from playbooks.models.playbook import PlaybookVersion
from playbooks.models.run import Run
from playbooks.models.step import Attempt, Step
from playbooks.models.switch import KillSwitch

__all__ = ["Attempt", "Circuit", "ControlClaim", "KillSwitch", "PlaybookVersion", "Run", "Step"]
