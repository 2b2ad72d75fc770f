"""Rows of holds, their answers, the members of grouped ones, and exceptions."""

from approvals.models.answer import Answer
from approvals.models.grant import ExceptionGrant
from approvals.models.hold import Hold
from approvals.models.member import GroupMember

__all__ = ["Answer", "ExceptionGrant", "GroupMember", "Hold"]
