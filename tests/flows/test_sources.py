"""A source over its limits observes, the others go on, and it comes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from audit import clock
from audit.models import AuditEntry
from containment import limits, sweep
from containment.models import Decision, Source, SourceAlarm, SourceAsk
from containment.refusals import AskAnswered, NotAsShown, NotThePerson, OwnApproval
from core.actor import ActorKind
from core.refusals import BadInput, Forbidden
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _house() -> None:
    make.house()
    Source.objects.create(name="quiet")
    for number in range(6):
        make.identity(f"role_{number}")


def _source(name: str = "edr-prod") -> Source:
    return Source.objects.get(name=name)


def _limit(**limits_: object) -> None:
    Source.objects.filter(name="edr-prod").update(**limits_)


def _capped_by(decision: Decision) -> list[str]:
    return list(decision.waterfall["choice"]["capped_by"])


def _verbs(prefix: str) -> list[str]:
    return list(AuditEntry.objects.filter(verb__startswith=prefix).order_by("seq").values_list("verb", flat=True))


def _as_if_over() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE source SET observes_until = clock_timestamp() - interval '1 s' WHERE state = 'observing'")


def test_within_its_rate_a_source_contains_and_beyond_it_only_observes():
    _limit(rate_per_minute=2)
    made = [make.detected(f"role_{number}") for number in range(3)]
    assert [one.verdict for one in made] == ["contain", "contain", "watch"]
    assert made[2].would_have == "contain"
    assert _capped_by(made[2]) == ["source"]
    assert "2 messages a minute" in made[2].because
    assert made[2].run is None
    assert made[2].hold is None
    assert _source().state == "observing"
    assert _verbs("source.") == ["source.dropped"]
    assert SourceAlarm.objects.get().over == "rate"


def test_another_source_goes_on_while_one_observes():
    _limit(rate_per_minute=1)
    make.detected("role_0"), make.detected("role_1")
    assert _source().state == "observing"
    assert make.detected("role_2", actor=cast.detector("quiet"), source="quiet").verdict == "contain"


def test_what_arrived_while_the_source_observed_stays_observed_when_it_is_decided_later():
    from containment import flow, intake
    from sources import native

    _limit(rate_per_minute=1)
    make.detected("role_0")
    body = make.message("role_1")
    late = intake.receive(native.read(body), body, actor=cast.detector()).detection
    limits.let_act(_source().pk, "the sender was mended", actor=cast.person("enzo"))
    decision = flow.decide(late.pk)
    assert (decision.verdict, decision.would_have) == ("watch", "contain")
    assert make.detected("role_2").verdict == "contain"


def test_it_acts_again_by_itself_once_it_was_calm_and_that_is_on_record():
    _limit(rate_per_minute=1)
    make.detected("role_0"), make.detected("role_1")
    until = _source().observes_until
    assert until is not None
    assert timedelta(minutes=9) < until - clock.now() <= limits.CALM
    assert sweep.sweep_once() is not None
    assert _source().state == "observing"
    _as_if_over()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE source_meter SET at = at - interval '10 min'")
    sweep.sweep_once()
    assert _source().state == "active"
    assert _verbs("source.") == ["source.dropped", "source.restored"]
    assert SourceAlarm.objects.get().ended_at is not None
    assert make.detected("role_2").verdict == "contain"


@pytest.mark.fault("D2")
def test_a_clock_that_is_set_back_leaves_it_observing_for_as_long_as_was_said():
    _limit(rate_per_minute=1)
    make.detected("role_0"), make.detected("role_1")
    until, day = _source().observes_until, timedelta(days=1)
    assert until is not None
    for said in (until, until + day):
        _limit(observes_until=said)
        with transaction.atomic():
            limits.set_back(day)
        assert _source().observes_until == until


def test_a_flood_that_goes_on_moves_the_end_of_the_calm():
    _limit(rate_per_minute=1)
    make.detected("role_0"), make.detected("role_1")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE source SET observes_until = observes_until - interval '9 min'")
    make.detected("role_2")
    until = _source().observes_until
    assert until is not None
    assert until > clock.now() + timedelta(minutes=9)
    assert SourceAlarm.objects.count() == 1


def test_over_its_own_budget_a_source_observes_until_the_hour_has_room():
    _limit(budget_per_hour=2)
    made = [make.detected(f"role_{number}") for number in range(3)]
    assert [one.verdict for one in made] == ["contain", "contain", "watch"]
    assert _capped_by(made[2]) == ["source"]
    assert "which is its budget" in made[2].because
    until = _source().observes_until
    assert until is not None
    assert timedelta(minutes=58) < until - clock.now() <= timedelta(hours=1)


def test_where_the_policy_allows_less_than_the_source_people_are_asked():
    _limit(budget_per_hour=100_000)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO containment_spend (identity_id, kind, source_id, at) "
            "SELECT i.id, i.kind, s.id, clock_timestamp() FROM identity i, source s WHERE s.name = 'edr-prod' AND i.subject = 'role_5'"
        )
    assert make.detected("role_0").verdict == "contain"
    assert _source().state == "active"


def test_a_person_lets_it_act_at_once_with_a_fresh_budget():
    _limit(budget_per_hour=1)
    make.detected("role_0"), make.detected("role_1")
    assert _source().state == "observing"
    limits.let_act(_source().pk, "both were real", actor=cast.person("enzo"))
    assert make.detected("role_2").verdict == "contain"
    assert make.detected("role_3").verdict == "watch"


def test_a_person_has_it_observe_until_a_person_lets_it_act():
    limits.observe(_source().pk, "its rules are being rewritten", actor=cast.person("enzo"))
    decision = make.detected("role_0")
    assert (decision.verdict, decision.would_have) == ("watch", "contain")
    assert "Enzo has it observe" in decision.because
    sweep.sweep_once()
    assert _source().state == "observing"
    with pytest.raises(BadInput):
        limits.let_act(_source().pk, " ", actor=cast.person("enzo"))
    with pytest.raises(Forbidden):
        limits.let_act(_source().pk, "because", actor=cast.person("mara"))


def test_an_event_older_than_the_source_may_report_is_held_at_most():
    _limit(max_age_seconds=3600)
    old = make.detected("role_0", occurred_at=(clock.now() - timedelta(hours=2)).isoformat())
    assert (old.verdict, old.would_have, _capped_by(old)) == ("hold", "contain", ["age"])
    assert "2 h old when it arrived" in old.because
    fresh = make.detected("role_1", occurred_at=(clock.now() - timedelta(minutes=50)).isoformat())
    assert fresh.verdict == "contain"


@pytest.mark.fault("D8")
def test_an_event_from_the_future_is_held_at_most():
    ahead = make.detected("role_0", occurred_at=(clock.now() + timedelta(minutes=7)).isoformat())
    assert (ahead.verdict, _capped_by(ahead)) == ("hold", ["age"])
    assert "ahead of the moment it arrived" in ahead.because
    assert make.detected("role_1", occurred_at=(clock.now() + timedelta(minutes=4)).isoformat()).verdict == "contain"


LOW = {"ceiling": "hold", "trust": 0.1, "rate_per_minute": 10, "budget_per_hour": 1, "kinds": ["human"], "providers": ["okta"]}
MORE = {"ceiling": "contain", "trust": 1.0, "rate_per_minute": 9000, "budget_per_hour": 900, "kinds": [], "providers": []}


def _asked(**wanted: object) -> tuple[SourceAsk, str]:
    limits.change(_source().pk, dict(wanted), actor=cast.person("enzo"))
    found = limits.waiting(_source())
    assert found is not None
    return found, limits.digest_of(found, _source())


def _stands() -> dict[str, object]:
    return {name: getattr(_source(), name) for name in LOW}


def test_one_engineer_alone_lets_a_source_do_no_more_and_a_manager_confirms():
    _limit(**LOW, max_age_seconds=60)
    found, seen = _asked(**MORE, max_age_seconds=None)
    assert _stands() == LOW
    assert _source().max_age_seconds == 60
    limits.confirm(found.pk, seen_digest=seen, actor=cast.person("mara"))
    assert _stands() == MORE
    assert _source().max_age_seconds is None
    assert _verbs("source.") == ["source.asked", "source.confirmed"]
    found.refresh_from_db()
    assert (found.state, found.digest, found.answered_by_name) == ("confirmed", seen, "Mara")


def test_until_it_is_confirmed_the_source_brings_about_what_it_did_before():
    _limit(ceiling="hold")
    found, seen = _asked(ceiling="contain")
    assert make.detected("role_0").verdict == "hold"
    limits.confirm(found.pk, seen_digest=seen, actor=cast.person("mara"))
    assert make.detected("role_1").verdict == "contain"


def test_of_a_mixed_change_the_lower_part_holds_at_once_and_the_other_waits():
    _limit(**LOW, max_age_seconds=None)
    found, _ = _asked(trust=0.05, budget_per_hour=5, max_age_seconds=60)
    assert (_source().trust, _source().max_age_seconds, _source().budget_per_hour) == (0.05, 60, 1)
    assert (found.wanted, found.was) == ({"budget_per_hour": 5}, {"budget_per_hour": 1})


def test_lowering_takes_nobody_else_and_takes_back_what_waits_for_the_same_limit():
    _limit(trust=0.5)
    found, seen = _asked(trust=0.9)
    limits.change(_source().pk, {"rate_per_minute": 5}, actor=cast.person("enzo"))
    assert limits.waiting(_source()) is not None
    limits.change(_source().pk, {"trust": 0.2}, actor=cast.person("enzo"))
    assert limits.waiting(_source()) is None
    with pytest.raises(AskAnswered, match="given less meanwhile"):
        limits.confirm(found.pk, seen_digest=seen, actor=cast.person("mara"))
    assert _source().trust == 0.2


def test_what_is_confirmed_is_exactly_what_was_on_screen():
    _limit(trust=0.5)
    found, seen = _asked(trust=0.9)
    limits.change(_source().pk, {"rate_per_minute": 5}, actor=cast.person("enzo"))
    with pytest.raises(NotAsShown):
        limits.confirm(found.pk, seen_digest=seen, actor=cast.person("mara"))
    assert _source().trust == 0.5


def test_what_is_asked_for_later_takes_the_place_of_what_waits():
    _limit(trust=0.5, ceiling="hold")
    first, seen = _asked(trust=0.9)
    second, _ = _asked(ceiling="contain")
    with pytest.raises(AskAnswered):
        limits.confirm(first.pk, seen_digest=seen, actor=cast.person("mara"))
    again, _ = _asked(ceiling="contain")
    assert again == second, "the same again changes nothing"
    assert _verbs("source.") == ["source.asked", "source.ask_replaced", "source.asked"]


def test_nobody_confirms_their_own_and_not_everybody_confirms_anothers():
    _limit(trust=0.5)
    found, seen = _asked(trust=0.9)
    both = replace(cast.person("enzo"), permissions=cast.person("enzo").permissions | {"policy.approve"})
    with pytest.raises(OwnApproval):
        limits.confirm(found.pk, seen_digest=seen, actor=both)
    for who in ("ines", "ada", "wren"):
        with pytest.raises(NotThePerson):
            limits.confirm(found.pk, seen_digest=seen, actor=cast.person(who))
    token = replace(cast.person("mara"), kind=ActorKind.TOKEN)
    with pytest.raises(NotThePerson):
        limits.confirm(found.pk, seen_digest=seen, actor=token)
    with pytest.raises(IntegrityError, match="a_second_person_raises_a_source"):
        SourceAsk.objects.update(state="confirmed", answered_by=cast.person("enzo").principal)


def test_what_is_refused_changes_nothing_and_may_be_asked_for_again():
    _limit(trust=0.5)
    found, seen = _asked(trust=0.9)
    with pytest.raises(BadInput):
        limits.refuse(found.pk, " ", actor=cast.person("mara"))
    limits.refuse(found.pk, "it cries wolf", actor=cast.person("mara"))
    with pytest.raises(AskAnswered, match="Mara refused it already"):
        limits.confirm(found.pk, seen_digest=seen, actor=cast.person("mia"))
    assert _source().trust == 0.5
    assert _asked(trust=0.9)[0] != found
    assert "source.refused" in _verbs("source.")


def test_a_new_source_only_watches_until_a_second_person_confirmed_its_ceiling():
    made = limits.add("scanner", {"ceiling": "contain", "trust": 0.9}, actor=cast.person("enzo"))
    found = limits.waiting(made)
    assert found is not None
    assert make.detected("role_0", actor=cast.detector("scanner"), source="scanner").verdict == "watch"
    limits.confirm(found.pk, seen_digest=limits.digest_of(found, _source("scanner")), actor=cast.person("mara"))
    assert make.detected("role_1", actor=cast.detector("scanner"), source="scanner").verdict == "contain"
    quiet = limits.add("silent", {"ceiling": "watch", "trust": 0.9}, actor=cast.person("enzo"))
    assert limits.waiting(quiet) is None
