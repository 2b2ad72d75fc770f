"""Rows of holds, their answers, and exceptions."""

from approvals.models.answer import Answer
from approvals.models.grant import ExceptionGrant
from approvals.models.hold import Hold

__all__ = ["Answer", "ExceptionGrant", "Hold"]
