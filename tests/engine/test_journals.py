"""Recorded journals, played again: the engine does next what it did then, or its version went up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from playbooks.domain import journal
from playbooks.runs import ENGINE_VERSION

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


def test_a_journal_names_nobody():
    allowed = {"state", "steps", "level", "sizes", "then"}
    steps = {"seq", "state", "disruptive", "stage", "on_failure", "inverse", "seen", "was_contained", "next_at", "preserve_until"}
    for path in JOURNALS:
        for one in read(path)["lines"]:
            assert set(one) <= allowed
            assert all(set(step) <= steps for step in one["steps"])
