"""Each invariant holds after ordinary work, and names what breaks it once somebody wrote past every door.

One scene for all, in one transaction around all tests; each breaks one thing in its own part of it, with triggers and constraints off.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest

from embedded.postgres import Postgres

if TYPE_CHECKING:
    from uuid import UUID

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def scene(estate: Postgres, django_db_setup: None, django_db_blocker: Any) -> Iterator[dict[str, UUID]]:
    """A contained identity, one that was given back, a hold that two people approved, one that waits, and a detection only watched."""
    from django.conf import settings
    from django.db import transaction

    from connectors import registry
    from connectors.sandbox import SandboxConnector
    from containment.gate import Gate

    connector = SandboxConnector(dsn=estate.dsn("estate"))
    connector.target.create()
    with django_db_blocker.unblock():
        whole = transaction.atomic()
        whole._from_testcase = True  # type: ignore[attr-defined] # stories may begin inside it
        whole.__enter__()
        try:
            registry.register("sandbox", connector)
            yield _played()
        finally:
            transaction.set_rollback(True)
            whole.__exit__(None, None, None)
            registry.configure(settings.CONNECTORS, gate=Gate())


PLAYBOOK = """
name: service-account
title: Contain a service account
kinds: [service_account]
stages:
  interim: [{measure: evidence.preserve, on_failure: continue}]
  soft: [{measure: evidence.preserve, on_failure: continue}, {measure: workload.isolate}, {measure: session.terminate}]
  hard: [{measure: evidence.preserve, on_failure: continue}, {measure: workload.isolate}, {measure: session.terminate}]
holds:
  default: {on_lapse: escalate}
  protected: {quorum: 2, on_lapse: release}
"""


def _played() -> dict[str, UUID]:
    from containment import flow, inventory
    from containment.models import Identity
    from core.ids import uuid7
    from playbooks import engine, library
    from playbooks.models import Run
    from tests import cast, make

    def detected(subject: str, **changes: Any) -> Any:
        who = {"kind": "service_account", "provider": "sandbox", "subject": subject}
        return make.detected(subject, identity=who, session=None, **changes)

    def rested(run: Run) -> Run:
        for _ in range(20):
            engine.drive(run.pk, executor="command")
            run.refresh_from_db()
            if run.next_at is None:
                break
        return run

    make.house()
    written = library.draft(PLAYBOOK, actor=cast.person("enzo"))
    library.approve(written.pk, actor=cast.person("mara"), seen_digest=written.digest)
    name = f"invariant-{uuid7()}"
    contained = detected(f"{name}-a")
    assert rested(make.run_of(contained)).state == "contained", make.run_of(contained).because
    given_back = detected(f"{name}-b")
    rested(make.run_of(given_back))
    flow.undo_run(make.run_of(given_back).pk, actor=cast.person("mara"), reason="it was a drill")
    assert rested(make.run_of(given_back)).state == "undone"
    for end in ("c", "d"):
        make.identity(f"{name}-{end}", provider="sandbox")
        found = Identity.objects.get(provider="sandbox", subject=f"{name}-{end}")
        inventory.protect(found.pk, "break-glass", actor=cast.person("ada"))
    approved, waits = detected(f"{name}-c"), detected(f"{name}-d")
    for who in ("ines", "mara"):
        hold = make.hold_of(approved)
        flow.answer_hold(hold.pk, "approve", actor=cast.person(who), seen_digest=hold.plan_digest, reason="it is not ours")
    watched = detected(f"{name}-e", severity="low", confidence=0.1, resource=None, claims=[])
    assert (contained.verdict, waits.verdict, watched.verdict) == ("contain", "hold", "watch")
    steps = {f"step {step.seq}": step.pk for step in make.run_of(contained).steps.all()}
    return steps | {
        "contained": contained.pk,
        "run": make.run_of(contained).pk,
        "undone": make.run_of(given_back).pk,
        "approved": make.hold_of(approved).pk,
        "open": make.hold_of(waits).pk,
        "waiting": make.run_of(waits).pk,
        "watched": watched.pk,
    }


JOURNAL = """INSERT INTO run_attempt (step_id, n, direction, kind, at, fence, worker, executor, outcome, said)
             VALUES (%(step)s, {n}, '{direction}', '{kind}', clock_timestamp(), {fence}, 'w', 'worker', '{outcome}', '{said}')"""


def journal(kind: str, n: int = 9, direction: str = "forward", fence: int = 99, outcome: str = "", said: str = "x") -> str:
    return JOURNAL.format(kind=kind, n=n, direction=direction, fence=fence, outcome=outcome, said=said)


BREAKS: dict[str, tuple[str, list[str]]] = {
    "a_detection_is_stored_once": (
        "2 times",
        [
            "ALTER TABLE detection DROP CONSTRAINT one_detection_per_source_and_external_id",
            """INSERT INTO detection SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid()))).* FROM detection d
               WHERE d.id = (SELECT detection_id FROM decision WHERE id = %(contained)s)""",
        ],
    ),
    "a_detection_is_decided_or_due": (
        "is received and not due",
        [
            "ALTER TABLE detection DROP CONSTRAINT an_undecided_detection_is_due",
            """UPDATE detection SET state = 'received', next_at = NULL
               WHERE id = (SELECT detection_id FROM decision WHERE id = %(contained)s)""",
        ],
    ),
    "a_decision_is_made_once": (
        "generation 1, without a cause",
        [
            "ALTER TABLE decision DROP CONSTRAINT a_later_generation_names_its_cause",
            "UPDATE decision SET generation = 1 WHERE id = %(contained)s",
        ],
    ),
    "a_contain_has_one_run": (
        "is contain without a run",
        ["ALTER TABLE decision DROP CONSTRAINT a_contain_has_a_run", "UPDATE decision SET run_id = NULL WHERE id = %(contained)s"],
    ),
    "what_only_watches_does_nothing": (
        "is watch and has a run",
        ["UPDATE decision SET run_id = %(run)s WHERE id = %(watched)s"],
    ),
    "one_live_run_per_identity": (
        "is under 2 live runs",
        [
            "DROP INDEX one_live_run_per_identity_and_family",
            "UPDATE run SET identity_ref = (SELECT identity_ref FROM run WHERE id = %(run)s) WHERE id = %(waiting)s",
        ],
    ),
    "what_is_unfinished_is_due_or_somebodys": (
        "is verifying and not due",
        ["UPDATE run SET state = 'verifying', next_at = NULL WHERE id = %(run)s"],
    ),
    "what_is_due_is_done": (
        "is past its deadline",
        ["UPDATE hold SET deadline = clock_timestamp() - interval '6 minutes' WHERE id = %(open)s"],
    ),
    "an_outcome_has_its_intent": (
        "without its intent",
        ["DELETE FROM run_attempt WHERE step_id = %(step 2)s AND kind = 'intent'"],
    ),
    "steps_go_one_after_the_other": (
        "was settled",
        ["DELETE FROM run_attempt WHERE step_id = %(step 2)s AND kind = 'outcome'"],
    ),
    "an_older_fence_never_writes": (
        "wrote after fence",
        ["UPDATE run SET fence = 99 WHERE id = %(run)s", journal("intent", fence=0).replace("(step)", "(step 2)")],
    ),
    "a_blind_step_is_tried_once": (
        "was called again in attempt 9",
        [
            "UPDATE run_step SET effect = 'blind' WHERE id = %(step 2)s",
            journal("intent").replace("(step)", "(step 2)"),
            journal("outcome", outcome="done", said="disabled").replace("(step)", "(step 2)"),
        ],
    ),
    "what_ran_was_frozen": (
        "is not in the frozen plan",
        ["""UPDATE run_step SET parameters = '{"spare": ["nobody"]}' WHERE id = %(step 2)s"""],
    ),
    "claims_match_what_stands": (
        "holds it no more",
        [
            """INSERT INTO control_claim (run_id, connector, subject, measure, claimed_at)
               VALUES (%(run)s, 'sandbox', 'somebody', 'credential.rotate', clock_timestamp())"""
        ],
    ),
    "a_secret_is_kept_no_longer_than_undo_needs_it": (
        "its sealed state is still there",
        ["UPDATE run_step SET was_sealed = 'x' WHERE run_id = %(undone)s AND state = 'undone'"],
    ),
    "a_hold_ends_once": (
        "is open with 1 endings",
        ["UPDATE hold SET state = 'open', closed_at = NULL WHERE id = %(approved)s"],
    ),
    "an_answer_is_in_time": (
        "the deadline was",
        ["UPDATE hold SET deadline = opened_at WHERE id = %(approved)s"],
    ),
    "who_counted_could_answer": (
        "1 answers of 2",
        ["DELETE FROM hold_answer WHERE id = (SELECT id FROM hold_answer WHERE hold_id = %(approved)s LIMIT 1)"],
    ),
    "what_was_answered_is_what_ran": (
        "showed another plan",
        ["""UPDATE run SET plan = plan || '{"hard": []}' WHERE id = (SELECT run_id FROM decision WHERE hold_id = %(approved)s)"""],
    ),
    "the_budget_was_never_exceeded": (
        "had brought",
        [
            """INSERT INTO identity SELECT (jsonb_populate_record(i, jsonb_build_object('id', gen_random_uuid(), 'subject', 's' || n))).*
               FROM identity i, generate_series(1, 60) n WHERE 'identity:' || i.id = (SELECT identity_ref FROM run WHERE id = %(run)s)""",
            """INSERT INTO containment_spend (identity_id, kind, source_id, at)
               SELECT i.id, i.kind, s.id, d.decided_at FROM identity i, source s, decision d
               WHERE i.subject ~ '^s[0-9]+$' AND s.name = 'edr-prod' AND d.id = %(contained)s""",
        ],
    ),
    "the_protected_are_never_cut_unasked": (
        "contains an identity that was protected",
        ["""UPDATE decision SET facts = jsonb_set(facts, '{identity,protected}', 'true') WHERE id = %(contained)s"""],
    ),
    "the_kill_switch_holds": (
        "the switch was set to no_new",
        [
            """INSERT INTO kill_switch (id, position, because, lift_to, lift_because, by_id, at)
               SELECT 1, 'no_new', 'a storm', '', '', p.id, clock_timestamp() - interval '1 minute' FROM person p LIMIT 1""",
            journal("intent").replace("(step)", "(step 2)"),
        ],
    ),
    "the_trail_has_no_gap": (
        "is missing",
        ["DELETE FROM audit_entry WHERE seq = (SELECT max(seq) - 1 FROM audit_entry)"],
    ),
    "every_change_is_on_record": (
        "its last entry says contained",
        ["UPDATE run SET state = 'failed' WHERE id = %(run)s"],
    ),
    "evidence_has_custody": (
        "nobody had custody",
        ["DELETE FROM custody WHERE artefact_id = (SELECT id FROM artefact WHERE run_ref = 'run:' || %(run)s)"],
    ),
}


def write(statements: list[str], scene: dict[str, UUID]) -> None:
    """Past every door: as the owner, with triggers off."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            cursor.execute(statement, scene)
        cursor.execute("SET LOCAL session_replication_role = origin")


def test_all_of_it_holds_after_ordinary_work(scene: dict[str, UUID]) -> None:
    from containment import invariants

    assert invariants.broken() == {}


def test_there_is_a_way_to_break_each_one() -> None:
    from containment import invariants

    assert set(BREAKS) == set(invariants.INVARIANTS)


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_one_is_named(scene: dict[str, UUID], name: str) -> None:
    from containment import invariants

    says, statements = BREAKS[name]
    write(statements, scene)
    assert says in " ".join(invariants.broken([name])[name])


def test_what_lies_before_and_after_a_clock_that_was_set_back_is_not_put_in_order(scene: dict[str, UUID]) -> None:
    from audit import record
    from containment import clock_jumps, invariants
    from core.actor import SYSTEM

    with record.telling("a test"):
        for calls_to in (0, 10**9):
            record.record(
                clock_jumps.FOLLOWED, clock_jumps.CLOCK, actor=SYSTEM, by="1 day, 0:00:00", noticed_by="a test", holds=0, calls_to=calls_to
            )
    earlier = "UPDATE audit_entry SET at = at - interval '1 hour' WHERE verb = 'clock.followed'"
    write([*BREAKS["the_kill_switch_holds"][1], earlier], scene)
    assert invariants.broken(["the_kill_switch_holds"]) == {}
    write(["DELETE FROM audit_entry WHERE verb = 'clock.followed' AND body LIKE '%%1000000000%%'"], scene)
    assert set(invariants.broken(["the_kill_switch_holds"])) == {"the_kill_switch_holds"}  # what came after it is in order again


def test_the_command_says_what_is_broken_and_where(scene: dict[str, UUID]) -> None:
    from django.core.management import call_command

    out = StringIO()
    with pytest.raises(SystemExit, match="0"):
        call_command("check_invariants", stdout=out)
    write(BREAKS["a_contain_has_one_run"][1], scene)
    with pytest.raises(SystemExit, match="1"):
        call_command("check_invariants", stdout=out)
    assert f"decision {scene['contained']} is contain without a run" in out.getvalue()


def test_what_could_not_be_asked_is_no_yes(scene: dict[str, UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.management import call_command

    from containment import invariants

    slow = invariants.Invariant("It is quick.", "SELECT pg_sleep(5)::text")
    monkeypatch.setattr(invariants, "INVARIANTS", {"it_is_quick": slow})
    with pytest.raises(invariants.CannotTellError, match="it_is_quick"):
        invariants.broken(timeout_s=0.05)
    with pytest.raises(SystemExit, match="2"):
        call_command("check_invariants", timeout=0.05, stdout=StringIO())


def test_the_hourly_look_is_kept_and_loud(scene: dict[str, UUID], caplog: pytest.LogCaptureFixture) -> None:
    from containment import invariants
    from containment.models import InvariantCheck

    write(BREAKS["the_trail_has_no_gap"][1], scene)
    assert (invariants.check_due(), invariants.check_due()) == (1, 0)
    assert list(InvariantCheck.objects.get().found) == ["the_trail_has_no_gap"]
    assert "numbered without a gap" in caplog.text
