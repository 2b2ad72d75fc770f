"""Somebody lifts a containment outside: found, told once, in the case, and never put back by itself."""

from __future__ import annotations

import pytest

from audit import clock
from audit.models import AuditEntry
from containment import drift, flow
from containment.models import Detection
from playbooks.models import Attempt, Run
from tests import make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.fault("G10")
def test_what_somebody_lifts_is_told_once_and_never_applied_again_and_healed_is_noted(role, drive):
    make.house()
    make.session(make.identity("etl_reader"), "etl-main", workflow="ingest")
    etl = role("etl_reader")
    decision = make.detected("etl_reader")
    run = drive(make.run_of(decision).pk)
    assert (run.state, drift.lifted(drift.look_at(run.pk))) == ("contained", [])

    intents = Attempt.objects.count()
    etl.as_owner("ALTER ROLE etl_reader LOGIN")
    for _ in range(2):
        drift.look_at(run.pk)
    run.refresh_from_db()
    assert [(line["measure"], line["healed_at"]) for line in run.drifted] == [("credential.revoke", "")]
    told = flow.decide(Detection.objects.get(source__name="drift").pk)
    assert (told.verdict, told.case_id) == ("covered", decision.case_id)
    assert (run.state, Attempt.objects.count()) == ("contained", intents)

    etl.as_owner("ALTER ROLE etl_reader NOLOGIN")
    assert drift.lifted(drift.look_at(run.pk)) == []
    assert AuditEntry.objects.filter(verb__in=["run.drifted", "run.healed"], subject=str(run.ref)).count() == 2


def test_each_run_has_its_turn_and_no_more_than_that(role, drive):
    make.house()
    make.identity("etl_reader")
    role("etl_reader")
    run = drive(make.run_of(make.detected("etl_reader")).pk)
    assert drift.look_due() == 0
    Run.objects.filter(pk=run.pk).update(finished_at=run.finished_at - drift.EVERY)
    assert (drift.look_due(), drift.look_due()) == (1, 0)
    Run.objects.filter(pk=run.pk).update(looked_at=clock.now() + drift.EVERY)  # the clock was set back since
    assert (drift.look_due(), drift.look_due()) == (1, 0)
