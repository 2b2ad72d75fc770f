"""Rows of what is done: published plans, the runs that carry them out, and their steps."""

from playbooks.models.playbook import PlaybookVersion
from playbooks.models.run import Run
from playbooks.models.step import Attempt, Step

__all__ = ["Attempt", "PlaybookVersion", "Run", "Step"]
