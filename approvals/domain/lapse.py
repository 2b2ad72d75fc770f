"""What follows when a deadline passes unanswered. Pure.

A deadline that is found long after it passed (outage, restore, kill switch) was no fair chance to answer, so it never contains.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from approvals.domain.moves import Ending, LapsedTo, OnLapse
from approvals.domain.quorum import Terms

LATE = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Lapse:
    to: LapsedTo
    terms: Terms
    because: str


def after_deadline(
    terms: Terms,
    *,
    on_lapse: OnLapse,
    in_the_end: Ending,
    overdue: timedelta,
    asked_again: bool,
    protected: bool,
    observed: str = "",
    budget_spent: bool = False,
    switched: bool = False,
) -> Lapse:
    """The first sentence that is true wins. `asked_again`: the last reviewers have been asked a second time already. `protected`: the
    identity is, by now. `observed`: why nothing is contained by itself any more, as a clause. `budget_spent`: no automatic containment is
    left, and this would be one. `switched`: the kill switch was on, so that nobody could have anything contained: that was no fair chance
    either, and where silence would contain it ends nothing, however often. Where it means release, it releases: nothing new is done for
    that, and what has to be given back first waits where even that is stopped."""
    if switched and silence(terms, on_lapse, in_the_end) != "release":
        because = "the deadline passed while the kill switch was on"
        asked = terms.escalated() if terms.further else terms
        return Lapse("escalated", asked, because if terms.further else f"{because}: the same reviewers are asked once more")
    late = overdue > LATE
    found = f"the deadline was found {int(overdue.total_seconds() // 60)} minutes late"
    if terms.further and (late or on_lapse == "escalate"):
        return Lapse("escalated", terms.escalated(), found if late else "nobody answered")
    if late and not asked_again:
        return Lapse("escalated", terms, f"{found}: the same reviewers are asked once more")
    if late:
        return Lapse("release", terms, f"{found}, and a late one never contains")
    if protected:
        return Lapse("release", terms, "nobody answered, and silence never contains the protected")
    ending = in_the_end if on_lapse == "escalate" else on_lapse
    if ending == "contain" and observed:
        return Lapse("release", terms, f"nobody answered, and {observed}")
    if ending == "contain" and budget_spent:
        because = "nobody answered, and the containment budget is spent"
        return Lapse("escalated", terms.escalated(), because) if terms.further else Lapse("release", terms, because)
    return Lapse(ending, terms, "nobody answered")


def silence(terms: Terms, on_lapse: OnLapse, in_the_end: Ending) -> OnLapse:
    """What the next deadline means, as pages show it: nothing is left to escalate to once the last reviewers are asked."""
    return in_the_end if on_lapse == "escalate" and not terms.further else on_lapse
