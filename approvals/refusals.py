"""The noes of this room, each with its code."""

from __future__ import annotations

from core.refusals import Forbidden, Refusal


class NotYours(Forbidden):
    """`facts["who_could"]` names the groups whose word it takes."""

    code = "not_yours"


class AlreadyOpen(Refusal):
    code = "already_open"


class AlreadyEnded(Refusal):
    code = "already_ended"


class TooLate(Refusal):
    code = "too_late"


class PlanChanged(Refusal):
    code = "plan_changed"


class AlreadyAnswered(Refusal):
    code = "already_answered"


class NoMoreTime(Refusal):
    code = "no_more_time"


class NotDue(Refusal):
    code = "not_due"


class KeyUsedOtherwise(Refusal):
    """`facts["task"]` is the handle of the request that the key stands for."""

    code = "duplicate_request"
