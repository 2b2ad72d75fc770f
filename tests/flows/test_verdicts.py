"""What people make of cases is counted, once per case, for each signal and source that led there."""

from __future__ import annotations

import pytest

from containment import cases, verdicts
from containment.models import Case, VerdictCount
from tests import cast, make
from tests.races import sessions

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def case() -> Case:
    make.house()
    make.identity("etl_reader")
    decision = make.detected("etl_reader")
    assert decision.case is not None
    return decision.case


def judged(case: Case, verdict: str, who: str = "ines") -> None:
    cases.judge(case.pk, verdict, "looked at the queries", actor=cast.person(who))


def counts(kind: str, name: str) -> tuple[int, int, int]:
    one = VerdictCount.objects.get(kind=kind, name=name)
    return one.true_positive, one.benign, one.harmless_but_right_to_stop


def test_a_verdict_counts_for_each_signal_and_each_source(case):
    judged(case, "true_positive")
    assert counts("signal", "unexpected_secret_read") == (1, 0, 0)
    assert counts("source", "edr-prod") == (1, 0, 0)
    assert not VerdictCount.objects.filter(name="honeytoken").exists()


def test_the_same_verdict_again_counts_once(case):
    judged(case, "benign")
    judged(case, "benign", "omar")
    assert counts("signal", "unexpected_secret_read") == (0, 1, 0)


def test_a_verdict_given_anew_takes_the_first_one_back(case):
    judged(case, "true_positive")
    judged(case, "harmless_but_right_to_stop")
    assert counts("signal", "unexpected_secret_read") == (0, 0, 1)
    assert counts("source", "edr-prod") == (0, 0, 1)


def test_a_signal_that_came_after_the_verdict_is_counted_with_the_next_one(case):
    judged(case, "true_positive")
    make.detected("etl_reader", claims=["token_mint"])
    assert not VerdictCount.objects.filter(name="token_mint").exists()
    judged(case, "benign")
    assert counts("signal", "token_mint") == (0, 1, 0)
    assert counts("signal", "unexpected_secret_read") == (0, 1, 0)


def test_two_people_who_judge_in_the_same_instant_count_as_one_case(case):
    said = sessions.in_the_same_instant(
        "incident_case", case.pk, lambda: judged(case, "true_positive"), lambda: judged(case, "benign", "omar")
    )
    assert said == [None, None]
    case.refresh_from_db()
    one = VerdictCount.objects.get(kind="signal", name="unexpected_secret_read")
    assert one.judged == 1
    assert getattr(one, case.verdict) == 1


def test_two_cases_that_share_a_signal_lose_no_count(case):
    make.identity("other_reader")
    other = make.detected("other_reader").case
    assert other is not None
    first = sessions.Session(lambda: judged(case, "true_positive"))
    second = sessions.Session(lambda: judged(other, "true_positive", "omar"))
    first.outcome(), second.outcome()
    assert counts("signal", "unexpected_secret_read") == (2, 0, 0)


def test_the_words_beside_a_signal_name_only_what_happened(case):
    assert verdicts.said(None) == ""
    judged(case, "true_positive")
    assert verdicts.said(verdicts.of_signals(["unexpected_secret_read"])["unexpected_secret_read"]) == "so far: 1 true"
    assert VerdictCount.objects.get(kind="source").precision == 1.0
