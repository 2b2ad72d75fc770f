"""Until when the same does not cut again, because a person said no: shown wherever somebody might wonder why nothing happens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from containment import cooling, policies
from containment.models import Identity
from containment.refusals import NoPolicy


@dataclass(frozen=True, slots=True)
class Cooling:
    """`word`: rejected or undid. `codes`: the signals that are known since then, as people say them."""

    at: datetime
    until: datetime
    word: str
    codes: str


def of(identity: Identity, now: datetime) -> Cooling | None:
    try:
        span = policies.document(policies.in_force().text).cool_off
    except NoPolicy:
        return None
    no = cooling.cool_off(identity, now, span)
    if no is None or no.at + span <= now:
        return None
    known = sorted(code.replace("_", " ") for code in no.codes if code != "source_claim")
    return Cooling(no.at, no.at + span, no.word, ", ".join(known))
