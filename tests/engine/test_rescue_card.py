"""The rescue card: exact commands from the database alone, whatever else is down, and no secret among them."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError

from audit.models import AuditEntry
from connectors import registry
from core.actor import SYSTEM
from core.ids import uuid7
from evidence import vault
from playbooks import engine, rescue, runs
from playbooks.models import Run
from tests.engine.test_claims import CUT, driven

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_renewal(monkeypatch):
    monkeypatch.setattr(engine, "RENEW_EVERY_S", 3600)


def printed(*words):
    """What the command prints, and its exit code."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("rescue_card", *words, stdout=out, stderr=err)
    except SystemExit as end:
        return out.getvalue(), end.code
    return out.getvalue(), 0


@pytest.fixture
def sealed(started):
    """A contained run with a secret that its undo needs."""
    run = driven(started(CUT))
    step = run.steps.get()
    step.was_sealed = vault.seal_secret({"verifier": "s3cret"}, about=str(step.ref))
    step.save(update_fields=["was_sealed"])
    return run


def test_the_card_of_a_run_names_what_to_do_and_how_to_open_what_is_sealed(sealed):
    text, code = printed(str(sealed.pk))
    assert code == 0
    assert sealed.target["subject"] in text
    assert f"take back {CUT}" in text
    assert f"rescue_card {sealed.pk} --open-sealed" in text
    assert "s3cret" not in text


def test_opening_what_is_sealed_is_asked_for_and_on_record(sealed):
    text, _ = printed(str(sealed.pk), "--open-sealed")
    assert f"# {CUT}, verifier: s3cret" in text
    assert AuditEntry.objects.filter(subject=str(sealed.ref), verb="run.secret_opened").count() == 1


def test_a_target_without_a_connector_gets_what_was_there_before(started):
    run = driven(started(CUT))
    run.steps.update(connector="gone")
    text, code = printed(str(run.pk))
    assert code == 0
    assert "No command is known. Put back the state before, by hand." in text
    assert '"state": "open"' in text


def test_all_that_stands_is_printed_and_what_is_undone_is_not(started, monkeypatch):
    monkeypatch.setattr(rescue, "AT_A_TIME", 1)
    subject = f"subject-{uuid7()}"
    first, second = (driven(started(CUT, subject=subject)) for _ in range(2))
    assert list(rescue.standing(subject=subject)) == [first]  # the second found it cut, and did nothing
    runs.undo(first.pk, actor=SYSTEM, reason="enough")
    driven(first)
    assert list(rescue.standing(subject=subject)) == [second]
    text = printed("--identity", subject)[0]
    assert str(second.pk) in text
    assert "# 1 run stands; these are all of them" in text
    assert str(second.pk) in printed("--all")[0]
    runs.undo(second.pk, actor=SYSTEM, reason="enough")
    driven(second)
    assert printed("--identity", subject) == ("", 1)


def test_the_exit_code_tells_nothing_stands_from_a_database_that_is_away(monkeypatch):
    assert printed(str(uuid7()))[1] == 1

    def away(*_args, **_kwargs):
        raise OperationalError("connection refused")

    monkeypatch.setattr(rescue, "standing", away)
    assert printed("--all")[1] == 2


def test_one_thing_is_asked_for():
    with pytest.raises(CommandError):
        printed()
    with pytest.raises(CommandError):
        printed("--all", "--open-sealed")


def test_a_connector_that_cannot_say_costs_the_others_nothing(started, monkeypatch):
    run = driven(started(CUT, "session.pause"))
    connector = registry.connector_for("sandbox")

    def manual(step, was):
        if step.measure == CUT:
            raise KeyError("an older record")
        return ["open the session"]

    monkeypatch.setattr(type(connector), "manual", lambda _self, step, was: manual(step, was), raising=False)
    deeds = rescue.card(Run.objects.get(pk=run.pk)).deeds
    assert [(deed.measure, deed.commands, bool(deed.otherwise)) for deed in deeds] == [
        ("session.pause", ("open the session",), False),
        (CUT, (), True),
    ]
