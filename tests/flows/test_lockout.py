"""A plan that would lock us out is held for two people: ours, a last administrator, the last who could answer."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import Person
from approvals.refusals import PlanChanged
from audit.models import AuditEntry
from containment import flow, inventory, lockout, protection
from containment.lockout import ADMINISTERS
from containment.models import Decision, Identity, PersonIdentity, ProtectionProposal, Source
from containment.refusals import NotThePerson
from core.actor import SYSTEM
from tests import cast, make
from tests.console.conftest import postgres_plans

__all__ = ["postgres_plans"]
pytestmark = [pytest.mark.django_db, pytest.mark.fault("I7"), pytest.mark.usefixtures("postgres_plans")]


def person(name: str) -> Person:
    cast.person(name)
    return Person.objects.get(username=name)


def linked(name: str, subject: str, **more: Any) -> Identity:
    identity = make.identity(subject, **more)
    lockout.link(person(name).pk, identity.pk, actor=cast.person("ada"))
    return identity


def only_mara_answers() -> None:
    Person.objects.filter(username__in=["ines", "omar", "mia"]).update(is_active=False)


def held_for_two(decision: Decision) -> str:
    hold = make.hold_of(decision)
    assert (decision.verdict, decision.sentence, hold.reason_class) == ("hold", 2, "protected"), decision.because
    assert (hold.as_terms().quorum, hold.on_lapse) == (2, "release")
    assert decision.facts["locks_out"]
    return decision.because


# -- whose account it is -------------------------------------------------------------------------------------------------------------------


def test_an_administrator_links_an_account_to_its_person_once():
    identity = linked("mara", "mara@acme.test", provider="okta", kind="human")
    lockout.link(person("mara").pk, identity.pk, actor=cast.person("ada"))
    assert list(lockout.people_of(identity).values()) == [person("mara")]
    assert AuditEntry.objects.filter(verb="identity.linked").count() == 1
    with pytest.raises(lockout.LinkedElsewhere, match="the account of Mara already"):
        lockout.link(person("ines").pk, identity.pk, actor=cast.person("ada"))
    lockout.unlink(identity.pk, actor=cast.person("ada"))
    assert not lockout.people_of(identity)


def test_only_who_manages_people_links_them():
    identity = make.identity("mara@acme.test", provider="okta", kind="human")
    with pytest.raises(NotThePerson):
        lockout.link(person("mara").pk, identity.pk, actor=cast.person("mara"))
    assert not PersonIdentity.objects.exists()


def test_a_link_follows_its_identity_into_a_merge():
    other, into = linked("mara", "mara.old", kind="human"), make.identity("mara.new", kind="human")
    inventory.merge(other.pk, into.pk, actor=SYSTEM, because="one and the same")
    assert list(lockout.people_of(into).values()) == [person("mara")]


def test_what_is_called_like_a_person_is_suggested_and_linked_to_nobody():
    Person.objects.filter(pk=person("mara").pk).update(email="Mara@acme.test")
    identity = make.identity("mara@ACME.test", provider="okta", kind="human")
    suggestion = lockout.suggested_for(identity)
    assert suggestion is not None
    assert (suggestion.person, suggestion.because) == (person("mara"), "the same e-mail address")
    assert [one.identity for one in lockout.suggested_accounts(person("mara"))] == [identity]
    assert not lockout.people_of(identity)
    assert lockout.suggested_for(make.identity("mara@acme.test", provider="postgres")) is None  # no person's account


# -- the last who could answer -------------------------------------------------------------------------------------------------------------


def test_whoever_an_open_hold_cannot_do_without_is_not_contained_by_itself():
    make.house()
    make.identity("etl_reader")
    Source.objects.update(ceiling="hold")
    assert make.hold_of(make.detected("etl_reader")).as_terms().quorum == 1
    Source.objects.update(ceiling="contain")
    linked("mara", "mara_admin")
    assert make.detected("mara_admin", external_id="with-others").verdict == "contain"


def test_the_last_who_could_answer_an_open_hold_is_held_for_two():
    make.house()
    make.identity("etl_reader")
    Source.objects.update(ceiling="hold")
    make.detected("etl_reader")
    Source.objects.update(ceiling="contain")
    linked("mara", "mara_admin")
    only_mara_answers()
    because = held_for_two(make.detected("mara_admin"))
    assert "somebody without whom nobody could answer the hold about “Secret read outside task scope”" in because


def test_a_hold_that_only_its_own_subject_could_answer_is_held_for_two():
    make.house()
    linked("mara", "mara_admin")
    only_mara_answers()
    Source.objects.update(ceiling="hold")
    assert "nobody could answer the hold about itself" in held_for_two(make.detected("mara_admin"))


def test_nobody_answers_about_their_own_account():
    make.house()
    linked("omar", "omar_admin")
    Source.objects.update(ceiling="hold")
    terms = make.hold_of(make.detected("omar_admin")).as_terms()
    assert terms.never[cast.person("omar").principal] == "the identity itself"


# -- the last administrator, and ours ------------------------------------------------------------------------------------------------------


def administrators(*subjects: str) -> None:
    """As the connector of postgres says; and people declined to protect them by name."""
    protection._keep("postgres", dict.fromkeys(subjects, ADMINISTERS))
    for row in ProtectionProposal.objects.filter(state="open"):
        protection.decline(row.pk, "there are several", actor=cast.person("ada"))


def test_the_last_administrator_of_a_system_is_held_for_two_though_nobody_protects_it():
    make.house()
    make.identity("dba")
    administrators("dba")
    assert "dba is the last administrator of postgres who is not contained" in held_for_two(make.detected("dba"))


def test_of_two_administrators_one_may_go_and_the_other_is_the_last():
    make.house()
    make.identity("dba"), make.identity("second_dba")
    administrators("dba", "second_dba")
    assert make.detected("dba").verdict == "contain"
    assert "second_dba is the last administrator" in held_for_two(make.detected("second_dba"))


def test_the_role_that_our_database_is_reached_with_is_held_for_two(settings):
    make.house()
    ours = settings.DATABASES["default"]
    host = "127.0.0.1" if str(ours["HOST"]).startswith("/") else ours["HOST"] or "127.0.0.1"
    make.identity(ours["USER"])
    settings.CONNECTORS = settings.CONNECTORS | {"postgres": {"use": "postgres", "dsn": f"postgresql://x@{host}:{ours['PORT']}/estate"}}
    assert "without it we would be without our database" in held_for_two(make.detected(ours["USER"]))


def test_a_role_of_that_name_in_another_cluster_is_not_ours(settings):
    make.house()
    make.identity(settings.DATABASES["default"]["USER"])
    settings.CONNECTORS = settings.CONNECTORS | {"postgres": {"use": "postgres", "dsn": "postgresql://x@db.acme.test:5432/estate"}}
    assert make.detected(settings.DATABASES["default"]["USER"]).verdict == "contain"


def test_the_broker_and_the_sign_in_provider_are_ours_too(settings):
    settings.BROKER_URL = "amqp://holdfast:x@rabbit.acme.test//"
    settings.CONNECTORS = {"rabbit": {"use": "webhook", "url": "amqp://rabbit.acme.test"}}
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"APPS": [{"client_id": "holdfast-console"}]}}
    assert lockout.one_of_ours("rabbit", "holdfast").endswith("without our broker")
    assert lockout.one_of_ours("entra", "holdfast-console").endswith("without our sign-in provider")
    assert lockout.one_of_ours("rabbit", "etl_reader") == ""


# -- what has changed since it was asked ---------------------------------------------------------------------------------------------------


def asked_about_a_long_job() -> Any:
    make.house()
    trainer = make.identity("trainer", provider="agents", kind="ai_agent")
    make.session(trainer, "train-7")
    make.designation(trainer, "train-7", kind="long_running_job")
    agent = {"kind": "ai_agent", "provider": "agents", "subject": "trainer"}
    hold = make.hold_of(make.detected("trainer", identity=agent, session=None, credential=None))
    assert (hold.reason_class, hold.on_lapse) == ("long_running_job", "contain")
    protection._keep("agents", {"trainer": ADMINISTERS})
    protection.decline(ProtectionProposal.objects.get().pk, "there are several", actor=cast.person("ada"))
    return hold


def test_silence_does_not_contain_what_would_lock_us_out_by_now():
    hold = asked_about_a_long_job()
    make.deadline_passed(hold)
    assert flow.lapse_hold(hold.pk).lapsed_to == "release"


def test_one_word_does_not_contain_what_would_lock_us_out_by_now():
    hold = asked_about_a_long_job()
    with pytest.raises(PlanChanged, match="Another hold asks two people"):
        flow.answer_hold(hold.pk, "approve", actor=cast.person("omar"), seen_digest=hold.plan_digest)
