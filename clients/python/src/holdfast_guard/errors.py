"""What this package raises. No message, attribute or cause of these carries the token."""

from __future__ import annotations

from holdfast_guard.words import Task, Verdict


class GuardError(Exception):
    """Anything that this package raises."""


class Denied(GuardError):  # noqa: N818 - a no is not an error of anybody
    """The call may not be made. `for_user` may be shown to whoever the agent works for."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.for_user or f"This may not be done now ({verdict.reason}).")
        self.verdict = verdict

    @property
    def reason(self) -> str:
        return self.verdict.reason

    @property
    def for_user(self) -> str:
        return str(self)


class Held(Denied):
    """Not now: people decide. `task` is how to come back for their answer; None where they could not be asked just now."""

    def __init__(self, verdict: Verdict, task: Task | None = None) -> None:
        super().__init__(verdict)
        self.task = task


class Unavailable(GuardError):  # noqa: N818 - an answer of the network, in our words
    """The service did not answer in time. Only for what is not a question: a question gets the declared answer."""


class Refused(GuardError):  # noqa: N818 - a no is not an error of anybody
    """The service answered no to something that is not a question: a wrong token, a broken request, a session of somebody else."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{detail} ({status} {code})")
        self.status, self.code, self.detail = status, code, detail


class JournalInUse(GuardError):  # noqa: N818 - reads as what it says
    """Another process keeps its calls in this file. Give each process a file of its own."""
