"""Allowed calls enter the audit chain in batches: each once, none forgotten, and whoever changes one afterwards is found."""

from __future__ import annotations

import io
import threading
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, connection, transaction

from audit.record import record, story
from core.actor import SYSTEM

if TYPE_CHECKING:
    from guard.models import GuardCall

pytestmark = pytest.mark.django_db(transaction=True)


def called(verdict: str = "allow", *, ago: timedelta = timedelta(0), **more: Any) -> GuardCall:
    from audit import clock
    from core.ids import uuid7
    from guard.models import GuardCall

    now = clock.now() - ago
    said: dict[str, Any] = {
        "asked_at": now,
        "principal": "p",
        "question": "sha256:0",
        "identity": uuid7(),
        "action": "tool.call",
        "tool": "ledger.read",
        "verdict": verdict,
        "reason": "allowed" if verdict == "allow" else "policy_denied",
        "risk": 3.9,
        "policy_version": 1,
        "expires_at": now + timedelta(seconds=10),
    }
    row = GuardCall.objects.create(**said | more)
    if verdict != "allow":
        on_record(row)
    return row


@story
def on_record(row: GuardCall) -> None:
    """As verdicts.say() does it."""
    from guard import chain

    about: dict[str, Any] = {"identity": "an agent", "what": row.tool, "because": row.because, "question": row.question}
    record("guard.denied", row.ref, actor=SYSTEM, at=row.asked_at, row=chain.root_of([row]), **about)


def verified() -> tuple[int, str]:
    from django.core.management import call_command

    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("verify_guard", stdout=out)
    return int(str(ended.value.code)), out.getvalue().strip()


def by_force(statement: str, *values: Any) -> None:
    """As somebody who may do anything in the database."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE guard_call DISABLE TRIGGER USER; ALTER TABLE guard_batch DISABLE TRIGGER USER")
        cursor.execute(statement, values)
        cursor.execute("ALTER TABLE guard_call ENABLE TRIGGER USER; ALTER TABLE guard_batch ENABLE TRIGGER USER")


def test_what_was_allowed_is_in_the_chain_once_and_what_was_denied_is_not_in_a_batch() -> None:
    from audit.models import AuditEntry
    from guard import chain
    from guard.models import GuardBatch

    rows, denied = [called() for _ in range(5)], called("deny")
    assert chain.chain_due() == 5
    assert chain.chain_due() == 0
    batch = GuardBatch.objects.get()
    assert batch.count == 5
    for row in rows:
        row.refresh_from_db()
        assert row.batch == batch.pk
    denied.refresh_from_db()
    assert denied.batch is None
    assert AuditEntry.objects.filter(verb="guard.allowed", subject=str(batch.ref)).count() == 1
    assert verified() == (0, "Intact: 1 batches.")


def test_two_sweepers_at_once_put_no_call_into_two_batches_and_forget_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from audit.models import AuditEntry
    from guard import chain
    from guard.models import GuardBatch, GuardCall

    monkeypatch.setattr(chain, "MOST", 7)
    for _ in range(60):
        called()
    starts = threading.Barrier(3)

    def sweep() -> None:
        starts.wait()
        for _ in range(40):
            chain.chain_due()
        connection.close()

    sweepers = [threading.Thread(target=sweep) for _ in range(3)]
    for sweeper in sweepers:
        sweeper.start()
    for sweeper in sweepers:
        sweeper.join()
    counted = Counter(GuardCall.objects.values_list("batch", flat=True))
    assert counted == dict(GuardBatch.objects.values_list("pk", "count"))
    assert counted.total() == 60
    assert AuditEntry.objects.filter(verb="guard.allowed").count() == len(counted)
    assert verified()[0] == 0


def test_a_sweeper_that_dies_in_the_middle_leaves_its_calls_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    from guard import chain
    from guard.models import GuardBatch, GuardCall

    called(), called()

    def killed(*args: Any, **facts: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(chain, "record", killed)
        with pytest.raises(KeyboardInterrupt):
            chain.chain_due()
    assert GuardBatch.objects.count() == 0
    assert chain.chain_due() == 2
    assert GuardCall.objects.filter(batch__isnull=True).count() == 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE guard_call SET tool = 'mail.send' WHERE id = %s",
        "UPDATE guard_call SET because = 'no' WHERE id = %s",
        "UPDATE guard_call SET batch = NULL WHERE id = %s",
        "DELETE FROM guard_call WHERE id = %s",
    ],
)
def test_the_database_refuses_to_change_a_call_and_verifying_finds_one_that_was_changed_by_force(statement: str) -> None:
    from guard import chain
    from guard.models import GuardBatch

    called()
    chain.chain_due()
    first, second = called(), called()
    chain.chain_due()
    with pytest.raises(IntegrityError), connection.cursor() as cursor:
        cursor.execute(statement, [second.pk])
    assert verified()[0] == 0
    by_force(statement, second.pk)
    code, said = verified()
    assert code == 1
    assert said.startswith(f"Broken at batch {GuardBatch.objects.order_by('-pk').values_list('pk', flat=True)[0]}: ")
    assert first.pk != second.pk


def test_a_batch_that_is_taken_away_or_slipped_in_is_found() -> None:
    from guard import chain
    from guard.models import GuardBatch

    called()
    chain.chain_due()
    batch = GuardBatch.objects.get()
    GuardBatch.objects.create(chained_at=batch.chained_at, count=0, first_at=batch.first_at, last_at=batch.last_at, root="sha256:0")
    assert verified()[1] == f"Broken at batch {batch.pk + 1}: the audit trail knows nothing of it."
    by_force("DELETE FROM guard_batch")
    assert verified()[1] == f"Broken at batch {batch.pk}: it is gone, and the audit trail says that it was."


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE guard_call SET tool = 'mail.read' WHERE id = %s", "it is not what was answered, by the audit trail"),
        ("UPDATE guard_call SET verdict = 'allow' WHERE id = %s", "it is not what was answered, by the audit trail"),
        ("DELETE FROM guard_call WHERE id = %s", "it is gone, and the audit trail says that it was"),
        (
            "UPDATE guard_call SET id = '0193c0de-0000-7000-8000-000000000000' WHERE id = %s",
            "it is gone, and the audit trail says that it was",
        ),
    ],
)
def test_a_no_that_was_changed_or_taken_away_by_force_is_found(statement: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from guard import chain

    monkeypatch.setattr(chain, "CHUNK", 2)
    rows = [called("deny") for _ in range(5)]
    assert verified() == (0, "Intact: 0 batches.")
    by_force(statement, rows[3].pk)
    assert verified() == (1, f"Broken at call {rows[3].pk}: {why}.")


def test_a_no_that_was_slipped_in_is_found() -> None:
    from guard.models import GuardCall

    called("deny")
    stray = called()
    by_force("UPDATE guard_call SET verdict = 'deny' WHERE id = %s", stray.pk)
    assert verified() == (1, f"Broken at call {stray.pk}: the audit trail knows nothing of it.")
    assert GuardCall.objects.count() == 2


def test_a_no_whose_time_is_over_may_go_and_no_other() -> None:
    from guard.models import GuardCall

    old, young = called("deny", ago=timedelta(days=91)), called("deny", ago=timedelta(days=89))
    by_force("DELETE FROM guard_call WHERE id = %s", old.pk)
    assert verified()[0] == 0
    by_force("DELETE FROM guard_call WHERE id = %s", young.pk)
    assert verified()[1].startswith(f"Broken at call {young.pk}: ")
    assert not GuardCall.objects.exists()


def test_what_came_of_a_call_is_told_once() -> None:
    from audit import clock
    from guard.models import GuardCall

    row = GuardCall.objects.filter(pk=called().pk)
    row.update(outcome="done", reported_at=clock.now())
    with pytest.raises(IntegrityError):
        row.update(outcome="failed")
    with pytest.raises(IntegrityError):
        row.update(reported_at=clock.now())


def test_calls_go_after_ninety_days_and_the_chain_says_so() -> None:
    from guard import chain
    from guard.models import GuardBatch, GuardCall

    old, young = [called(ago=timedelta(days=91)) for _ in range(3)], called()
    no = called("deny", ago=timedelta(days=91))
    chain.chain_due()
    assert chain.tidy() == 1  # the batch is as young as its last call
    assert not GuardCall.objects.filter(pk=no.pk).exists()
    for _ in range(2):
        called(ago=timedelta(days=91))
    chain.chain_due()
    assert chain.tidy() == 2
    assert GuardCall.objects.count() == len(old) + 1
    assert GuardBatch.objects.filter(tidied_at__isnull=False).count() == 1
    assert verified()[0] == 0
    by_force("UPDATE guard_batch SET tidied_at = clock_timestamp()")
    by_force("DELETE FROM guard_call WHERE id = %s", young.pk)
    assert verified()[0] == 1
