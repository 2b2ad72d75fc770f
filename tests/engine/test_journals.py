"""Recorded journals, played again: the engine does next what it did then, or its version went up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.management import call_command

from connectors.sandbox import Mood
from core.actor import SYSTEM
from playbooks import runs
from playbooks.domain import journal
from playbooks.runs import ENGINE_VERSION
from tests.engine.record_journals import driven

JOURNALS = sorted((Path(__file__).parent / "journals").glob("*.json"))


def read(path):
    return json.loads(path.read_text())


@pytest.mark.fault("G11")
@pytest.mark.parametrize("path", JOURNALS, ids=[path.stem for path in JOURNALS])
def test_what_was_next_then_is_next_now(path):
    recorded = read(path)
    if recorded["engine_version"] == ENGINE_VERSION:
        differ = [(one, now) for one in recorded["lines"] if (now := journal.replayed(one)) != one["then"]]
        assert not differ, "raise runs.ENGINE_VERSION and record the journals anew"


def test_the_corpus_covers_every_kind_of_answer():
    recorded = [one for path in JOURNALS for one in read(path)["lines"]]
    assert {read(path)["engine_version"] for path in JOURNALS} == {ENGINE_VERSION}
    assert len(recorded) > 300
    kinds = {one["then"]["kind"] for one in recorded}
    assert kinds >= {"do", "probe", "undo", "skip", "let_be", "lose", "finish", "wait", "rest"}
    moves = {one["then"].get("move") for one in recorded if one["then"]["kind"] == "finish"}
    assert moves >= {"contain", "leave_partial", "fail", "undo", "give_up", "finish_undo"}


@pytest.mark.django_db
def test_runs_that_are_over_tell_their_own_journals(started, sandbox, capsys):
    done = started("evidence.preserve", "workload.isolate", "session.pause")
    sandbox.set_mood(done.target["subject"], Mood.FAILS_BEFORE)
    driven(done)
    runs.undo(done.pk, actor=SYSTEM, reason="enough")
    driven(done)
    failed = started("workload.isolate", "session.pause", on_failure="continue")
    sandbox.set_mood(failed.target["subject"], Mood.PERMISSION_LOST)
    driven(failed)
    call_command("export_journals")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    then = [[(one["then"]["kind"], one["then"]["seq"]) for one in each["lines"]] for each in told]
    assert then == [[("do", 1), ("do", 2), ("do", 2), ("do", 3), ("undo", 3), ("undo", 2)], [("do", 1), ("do", 2)]]
    call_command("export_journals", "--check")
    assert "All 8 would go on as they did." in capsys.readouterr().out


def test_a_journal_names_nobody():
    allowed = {"state", "steps", "level", "sizes", "then"}
    steps = {"seq", "state", "disruptive", "stage", "on_failure", "inverse", "seen", "was_contained", "next_at", "preserve_until"}
    for path in JOURNALS:
        for one in read(path)["lines"]:
            assert set(one) <= allowed
            assert all(set(step) <= steps for step in one["steps"])
