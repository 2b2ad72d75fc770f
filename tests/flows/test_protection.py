"""The protected list: looked at in the decision under every name, and again right before a connector acts."""

from __future__ import annotations

from typing import Any

import pytest

from audit.models import AuditEntry
from connectors import registry
from connectors.base import Rejected
from connectors.sandbox import SandboxConnector
from containment import flow, inventory, protection
from containment.lockout import ADMINISTERS
from containment.models import Identity, IdentityAlias, ProtectionProposal
from containment.refusals import NotThePerson
from core.actor import SYSTEM
from core.refusals import BadInput
from playbooks import engine
from playbooks.models import Run
from tests import cast, make
from tests.console.conftest import postgres_plans
from tests.engine.conftest import sandbox, started

__all__ = ["postgres_plans", "sandbox", "started"]
pytestmark = [pytest.mark.django_db, pytest.mark.fault("I7")]


def driven(run: Run) -> Run:
    engine.drive(run.pk, executor="command")
    run.refresh_from_db()
    return run


def proposed(subject: str, provider: str = "postgres", because: str = protection.WORKS_AS) -> ProtectionProposal:
    protection._keep(provider, {subject: because})
    return ProtectionProposal.objects.get(provider=provider, subject=subject)


# -- the decision --------------------------------------------------------------------------------------------------------------------------


def by_alias() -> str:
    IdentityAlias.objects.create(identity=make.identity("root", protected=True), provider="postgres", subject="etl_reader")
    return "etl_reader"


def merged_into_it() -> str:
    root, other = make.identity("root", protected=True), make.identity("etl_reader")
    inventory.merge(other.pk, root.pk, actor=SYSTEM, because="one and the same")
    return "etl_reader"


def protected_one_merged_into_another() -> str:
    root, other = make.identity("root", protected=True), make.identity("etl_reader")
    inventory.merge(root.pk, other.pk, actor=SYSTEM, because="one and the same")
    return "etl_reader"


def spelt_otherwise() -> str:
    make.identity("etl_reader", protected=True)
    return "ETL_Reader"


def alias_spelt_otherwise() -> str:
    IdentityAlias.objects.create(identity=make.identity("root", protected=True), provider="postgres", subject="Etl_Reader")
    return "etl_reader"


def asked_for_by_its_connector() -> str:
    proposed("etl_reader")
    return "etl_reader"


@pytest.mark.parametrize(
    "scene",
    [by_alias, merged_into_it, protected_one_merged_into_another, spelt_otherwise, alias_spelt_otherwise, asked_for_by_its_connector],
)
def test_no_name_is_a_way_around_the_protected_list(postgres_plans, scene):
    make.house()
    decision = make.detected(scene())
    assert (decision.verdict, make.hold_of(decision).reason_class) == ("hold", "protected"), decision.because
    assert (make.hold_of(decision).as_terms().quorum, make.hold_of(decision).on_lapse) == (2, "release")


def test_what_a_connector_asked_for_counts_until_a_person_declines_it(postgres_plans):
    make.house()
    make.identity("etl_reader")
    asked = proposed("etl_reader")
    because = make.detected("etl_reader").because
    assert "etl_reader is protected (asked for by the connector of postgres: its connector works as it" in because
    protection.decline(asked.pk, "it only reads", actor=cast.person("ada"))
    other = make.identity("second_reader")
    protection.decline(proposed("second_reader").pk, "it only reads", actor=cast.person("ada"))
    assert make.detected("second_reader").verdict == "contain"
    assert not other.protected


def test_agreeing_protects_for_good_and_lists_who_was_not_listed():
    identity = protection.agree(proposed("replicator").pk, actor=cast.person("ada"))
    assert (identity.provider, identity.subject, identity.protected) == ("postgres", "replicator", True)
    assert identity.protected_because == "asked for by the connector of postgres: its connector works as it, or depends on it"
    with pytest.raises(protection.AnsweredAlready):
        protection.agree(ProtectionProposal.objects.get().pk, actor=cast.person("ada"))
    verbs = list(AuditEntry.objects.order_by("seq").values_list("verb", flat=True))
    assert verbs[-3:] == ["identity.discovered", "protected.changed", "protection.agreed"]


def test_agreeing_protects_the_identity_that_the_name_belongs_to():
    IdentityAlias.objects.create(identity=make.identity("root"), provider="postgres", subject="replicator")
    protection.agree(proposed("replicator").pk, actor=cast.person("ada"))
    assert Identity.objects.get().protected


def test_only_who_edits_the_list_answers_and_a_no_has_a_reason():
    asked = proposed("replicator")
    for answer in (lambda actor: protection.agree(asked.pk, actor=actor), lambda actor: protection.decline(asked.pk, "x", actor=actor)):
        with pytest.raises(NotThePerson):
            answer(cast.person("mara"))
    with pytest.raises(BadInput):
        protection.decline(asked.pk, " ", actor=cast.person("ada"))
    assert ProtectionProposal.objects.get().state == "open"


# -- what connectors say of themselves -----------------------------------------------------------------------------------------------------


def test_a_connector_proposes_itself_and_its_administrators_once(sandbox, estate):
    registry.register("sandbox", SandboxConnector(dsn=estate.dsn("estate"), administrators=["boss"]))
    for _ in range(2):
        assert protection.contact("sandbox").trouble == ""
    said = dict(ProtectionProposal.objects.filter(provider="sandbox").values_list("subject", "because"))
    assert said == {"sandbox-admin": protection.WORKS_AS, "boss": ADMINISTERS}
    assert AuditEntry.objects.filter(verb="protection.proposed").count() == 2


def test_what_is_named_no_longer_is_not_asked_for_any_more_and_answers_stay():
    for subject in ("one", "two"):
        proposed(subject)
    protection._keep("postgres", {"one": ADMINISTERS, "two": protection.WORKS_AS})
    protection.agree(ProtectionProposal.objects.get(subject="two").pk, actor=cast.person("ada"))
    protection._keep("postgres", {})
    assert list(ProtectionProposal.objects.values_list("subject", "state", "because")) == [("two", "agreed", "")]


def test_a_connector_that_does_not_answer_changes_nothing(postgres_plans):
    proposed("etl_reader")
    assert protection.contact("postgres").trouble
    assert ProtectionProposal.objects.get().state == "open"


# -- right before it acts ------------------------------------------------------------------------------------------------------------------


def test_who_became_protected_since_the_decision_is_not_cut(started, sandbox):
    run = started("workload.isolate")
    make.identity(run.target["subject"], provider="sandbox", protected=True, protected_because="break-glass")
    run = driven(run)
    step = run.steps.get()
    assert (run.state, step.state, sandbox.done(run.target["subject"])) == ("needs_human", "needs_human", 0)
    assert f"{run.target['subject']} is protected (break-glass)" in step.said
    assert step.journal.order_by("-id")[0].outcome == "shielded"


@pytest.mark.fault("I8")
@pytest.mark.parametrize("on_failure", ["stop", "continue", "undo"])
def test_a_call_that_would_hit_a_protected_alias_is_refused_and_names_it(started, sandbox, estate, on_failure):
    run = started("workload.isolate", subject="group-of-all", on_failure=on_failure)
    registry.register("sandbox", SandboxConnector(dsn=estate.dsn("estate"), aliases={"group-of-all": ["somebody", "Break-Glass"]}))
    make.identity("break-glass", provider="sandbox", protected=True, protected_because="the way back in")
    run = driven(run)
    assert (run.state, sandbox.done("group-of-all")) == ("needs_human", 0)
    assert "It would hit Break-Glass as well, which is protected (the way back in)" in run.steps.get().said


@pytest.mark.parametrize("subject", ["sandbox-admin", "Boss"])
def test_whom_the_connector_names_as_its_own_is_not_cut_though_nobody_listed_it(started, sandbox, estate, subject):
    run = started("workload.isolate", subject=subject)
    registry.register("sandbox", SandboxConnector(dsn=estate.dsn("estate"), administrators=["boss"]))
    run = driven(run)
    assert (run.state, sandbox.done(subject)) == ("needs_human", 0)
    assert "its connector says so" in run.steps.get().said


def test_what_people_declined_to_protect_is_cut(started, sandbox, estate):
    run = started("workload.isolate", subject="boss")
    registry.register("sandbox", SandboxConnector(dsn=estate.dsn("estate"), administrators=["boss"]))
    protection.contact("sandbox")
    protection.decline(ProtectionProposal.objects.get(subject="boss").pk, "two others administer it", actor=cast.person("ada"))
    assert driven(run).state == "contained"


def test_evidence_is_taken_of_the_protected_as_well(started, sandbox):
    run = started("evidence.preserve", subject="sandbox-admin")
    assert driven(run).steps.get().state == "done"


@pytest.mark.fault("I8")
def test_where_nobody_can_say_whom_it_would_hit_nothing_is_done(started, sandbox, estate):
    class Blindfolded(SandboxConnector):
        def resolves(self, step: Any) -> Any:
            raise Rejected("The group is too large to be listed.")

    run = started("workload.isolate")
    registry.register("sandbox", Blindfolded(dsn=estate.dsn("estate")))
    run = driven(run)
    assert (run.state, sandbox.done(run.target["subject"])) == ("needs_human", 0)
    assert "too large to be listed" in run.steps.get().said


@pytest.mark.fault("I8")
def test_a_postgres_role_whose_members_are_protected_keeps_its_rights(role):
    """A group is isolated by taking its rights, which its members have through it."""
    import psycopg

    from playbooks.calls import call_of
    from playbooks.shield import Shielded

    group, member = role("all_readers"), role("dba_on_duty")
    with psycopg.connect(group.server.dsn("estate"), autocommit=True) as admin:
        admin.execute("GRANT all_readers TO dba_on_duty")
    make.house()
    make.identity("all_readers")
    make.identity(member.name, protected=True, protected_because="on duty")
    run = make.run_of(make.detected("all_readers", action={"name": "data.read", "count": 1}, claims=["unexpected_secret_read"]))
    step = run.steps.get(measure="workload.isolate")
    connector = registry.connector_for("postgres")
    assert connector is not None
    with pytest.raises(Shielded, match="It would hit dba_on_duty as well"):
        protection.look_again(run, step, connector, call_of(run, step))


def test_two_people_who_were_asked_about_it_may_have_it_contained(role, drive):
    etl = role("etl_reader")
    make.house()
    make.identity("etl_reader", protected=True, protected_because="break-glass")
    decision = make.detected("etl_reader")
    hold = make.hold_of(decision)
    for name in ("omar", "mara"):
        flow.answer_hold(hold.pk, "approve", actor=cast.person(name), seen_digest=hold.plan_digest)
    assert drive(make.run_of(decision).pk).state == "contained"
    assert not etl.can_log_in()
