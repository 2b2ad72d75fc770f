"""Holdfast's guard for agents: ask before a tool is used, refuse what is contained, tell afterwards what came of it.

guard = Guard("https://holdfast.example", token, subject="invoice-agent")

@guard.tool("mail.send", writes=True)
def send(to: str, body: str) -> str: ...
"""

from holdfast_guard.aguard import AsyncGuard
from holdfast_guard.calls import Call
from holdfast_guard.declared import Declared
from holdfast_guard.errors import Denied, GuardError, Held, JournalInUse, Refused, Unavailable
from holdfast_guard.guard import Guard
from holdfast_guard.words import Subject, Task, Verdict

__all__ = [
    "AsyncGuard",
    "Call",
    "Declared",
    "Denied",
    "Guard",
    "GuardError",
    "Held",
    "JournalInUse",
    "Refused",
    "Subject",
    "Task",
    "Unavailable",
    "Verdict",
]
