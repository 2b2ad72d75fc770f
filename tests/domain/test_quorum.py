"""Who may answer a hold, and what silence means."""

from __future__ import annotations

from datetime import timedelta

import pytest

from approvals.domain.lapse import LATE, after_deadline, silence
from approvals.domain.quorum import Reviewers, Terms, admits
from core.actor import CLOCK, NOBODY, SYSTEM, Actor, ActorKind

MINUTE = timedelta(minutes=1)
ANSWERS = frozenset({"read", "hold.answer"})
PAYROLL = Reviewers("the payroll team", teams=("payroll",))
MANAGERS = Reviewers("the managers", anyone=True, permission="exception.grant")
ON_CALL = Reviewers("who is on call", people=("omar",))


def person(name, *, teams=("payroll",), permissions=ANSWERS, kind=ActorKind.PERSON, principal=None):
    return Actor(kind, name, name.title(), name if principal is None else principal, frozenset(permissions), frozenset(teams))


def terms(*reviewers, never=None, step=0, quorum=1):
    return Terms(quorum, reviewers or (PAYROLL,), never or {}, step)


@pytest.mark.parametrize(
    ("said", "asked", "actor", "admitted"),
    [
        ("in the team", terms(), person("omar"), True),
        ("in another team", terms(), person("omar", teams=["sales"]), False),
        ("in the team, but may not answer", terms(), person("omar", permissions={"read"}), False),
        ("named, in no team", terms(ON_CALL), person("omar", teams=[]), True),
        ("not the one named", terms(ON_CALL), person("ines"), False),
        ("anybody who holds the permission", terms(MANAGERS), person("ines", teams=[], permissions={"exception.grant"}), True),
        ("the answering permission is not this one", terms(MANAGERS), person("ines"), False),
        ("not asked yet", terms(PAYROLL, MANAGERS), person("ines", teams=[], permissions={"exception.grant"}), False),
        ("asked after the escalation", terms(PAYROLL, MANAGERS, step=1), person("ines", teams=[], permissions={"exception.grant"}), True),
        ("the first ones stay asked", terms(PAYROLL, MANAGERS, step=1), person("omar"), True),
        ("the requester", terms(never={"omar": "the requester"}), person("omar"), False),
        ("the requester, on another person's account", terms(never={"omar": "the requester"}), person("x", principal="omar"), False),
        ("a program of somebody in the team", terms(), person("omar", kind=ActorKind.TOKEN), False),
        ("a person whose principal nobody knows", terms(), person("omar", principal=""), False),
        ("the clock", terms(MANAGERS), CLOCK, False),
        ("ourselves", terms(MANAGERS), SYSTEM, False),
        ("nobody", terms(MANAGERS), NOBODY, False),
    ],
)
def test_who_may_answer(said, asked, actor, admitted):
    assert bool(admits(asked, actor)) is admitted, said


def test_a_no_says_why_and_who_could():
    verdict = admits(terms(PAYROLL, MANAGERS, never={"omar": "the playbook's author"}, step=1), person("omar"))
    assert verdict.sentence == "You cannot answer this hold, being the playbook's author. It waits for the payroll team or the managers."
    assert list(verdict.who_could) == ["the payroll team", "the managers"]


def test_terms_survive_being_stored():
    before = terms(PAYROLL, MANAGERS, ON_CALL, never={"omar": "the requester"}, step=1, quorum=2)
    assert Terms.from_json(before.to_json()) == before


@pytest.mark.parametrize(
    "build",
    [
        lambda: Terms(1, ()),
        lambda: Terms(0, (PAYROLL,)),
        lambda: Terms(1, (PAYROLL,), step=1),
        lambda: Reviewers("nobody"),
    ],
)
def test_a_hold_that_nobody_could_answer_cannot_be_made(build):
    with pytest.raises(ValueError):
        build()


ONE, TWO, LAST = terms(PAYROLL), terms(PAYROLL, MANAGERS), terms(PAYROLL, MANAGERS, step=1)


@pytest.mark.parametrize(
    ("asked", "on_lapse", "in_the_end", "overdue", "asked_again", "to", "step"),
    [
        (ONE, "contain", "contain", 0 * MINUTE, False, "contain", 0),
        (ONE, "release", "release", 0 * MINUTE, False, "release", 0),
        (TWO, "contain", "contain", 0 * MINUTE, False, "contain", 0),  # others could be asked, but the page said contain
        (TWO, "escalate", "contain", 0 * MINUTE, False, "escalated", 1),
        (LAST, "contain", "contain", 0 * MINUTE, False, "contain", 1),
        (LAST, "escalate", "release", 0 * MINUTE, False, "release", 1),  # nobody is left
        (ONE, "contain", "contain", LATE, False, "contain", 0),
        (TWO, "contain", "contain", LATE + MINUTE, False, "escalated", 1),
        (TWO, "release", "release", LATE + MINUTE, False, "escalated", 1),
        (ONE, "contain", "contain", LATE + MINUTE, False, "escalated", 0),  # the same people again
        (ONE, "contain", "contain", 0 * MINUTE, True, "contain", 0),  # who had a fair chance this time
        (ONE, "contain", "contain", LATE + MINUTE, True, "release", 0),  # and not this time either
    ],
)
def test_what_silence_leads_to(asked, on_lapse, in_the_end, overdue, asked_again, to, step):
    follows = after_deadline(asked, on_lapse=on_lapse, in_the_end=in_the_end, overdue=overdue, asked_again=asked_again, protected=False)
    assert (follows.to, follows.terms.step) == (to, step)


def test_a_page_never_promises_an_escalation_to_nobody():
    assert silence(TWO, "escalate", "contain") == "escalate"
    assert silence(LAST, "escalate", "contain") == "contain"


@pytest.mark.parametrize("on_lapse", ["contain", "escalate"])
def test_silence_never_contains_what_was_protected_meanwhile(on_lapse):
    last = Terms(1, [Reviewers("the managers", teams=("managers",))])
    follows = after_deadline(last, on_lapse=on_lapse, in_the_end="contain", overdue=timedelta(0), asked_again=False, protected=True)
    assert follows.to == "release"


@pytest.mark.parametrize("on_lapse", ["contain", "escalate"])
def test_silence_never_contains_what_is_only_observed_by_now_and_says_why(on_lapse):
    last = Terms(1, [Reviewers("the managers", teams=("managers",))])
    why = "every ai agent in prod is only observed by now"
    passed = timedelta(0)
    follows = after_deadline(
        last,
        on_lapse=on_lapse,
        in_the_end="contain",
        overdue=passed,
        asked_again=False,
        protected=False,
        observed=why,
        budget_spent=True,
    )
    assert (follows.to, follows.because) == ("release", f"nobody answered, and {why}")


@pytest.mark.parametrize(("on_lapse", "in_the_end", "to"), [("release", "release", "release"), ("contain", "contain", "escalated")])
def test_under_the_kill_switch_silence_releases_and_contains_nobody(on_lapse, in_the_end, to):
    last = Terms(1, [Reviewers("the managers", teams=("managers",))])
    passed = timedelta(0)
    follows = after_deadline(
        last, on_lapse=on_lapse, in_the_end=in_the_end, overdue=passed, asked_again=True, protected=False, switched=True
    )
    assert follows.to == to
