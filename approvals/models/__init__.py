"""Rows of holds, their answers, the members of grouped ones, exceptions, and what programs ask for."""

from approvals.models.answer import Answer
from approvals.models.grant import ExceptionGrant
from approvals.models.hold import Hold
from approvals.models.member import GroupMember
from approvals.models.request import AccessRequest

__all__ = ["AccessRequest", "Answer", "ExceptionGrant", "GroupMember", "Hold"]
