"""What the card of a run says on its way back: the three-way diff, levels, an end by itself, the receipt; and the rescue card."""

from __future__ import annotations

from datetime import timedelta

import pytest

from audit import clock
from console.frame import counts
from console.views_of.runs import diff_rows
from core.actor import SYSTEM
from playbooks import returning, runs
from playbooks.domain.receipt import receipt, summary
from playbooks.models import Run, Step
from tests import make
from tests.console.people import HTMX, signed_in, text_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def contained(postgres_plans):
    """A contained run, as the engine would have left it, that comes back over one level."""
    make.house()
    make.identity("etl_reader")
    run = make.run_of(make.detected("etl_reader"))
    step = run.steps.get(measure="credential.revoke")
    step.state, step.performed, step.proof_level = "done", True, "replayed"
    step.was = {
        "contained": False,
        "public": {"own": {"login": True, "limit": -1, "password": "scram", "grants": []}},
        "live_sessions": 1,
        "account": "estate",
    }
    step.was_sealed = b"sealed"
    step.save()
    run.steps.exclude(pk=step.pk).update(state="done")
    level = run.plan["hard"][-1] | {"measure": "session.restrict", "parameters": {"mode": "write"}}
    run.terms = {"reinstatement": [{"steps": [level], "watch_s": 600}]}
    run.state, run.contained_at, run.next_at, run.proof_level = "contained", clock.now(), None, "replayed"
    run.save()
    return run


def page_of(run, who="mara"):
    return text_of(signed_in(who).get(f"/runs/{run.pk}/", follow=True))


@pytest.mark.parametrize(
    ("diff", "rows"),
    [
        ({"before": "open", "ours": "cut", "now": "frozen"}, [("it", "open", "cut", "frozen", True)]),
        ({"limit": {"before": -1, "ours": 0, "now": 5}}, [("connection limit", "no limit", "0", "5", True)]),
        ({"login": {"before": True, "ours": False, "now": False}}, [("may log in", "yes", "no", "no", False)]),
        ({"before": {"s-1": "active"}, "ours": "paused", "now": {"s-1": "restricted"}}, [("s-1", "active", "paused", "restricted", True)]),
        ({}, [("it", "none", "none", "none", False)]),
    ],
)
def test_a_diff_is_three_columns_whatever_shape_the_connector_gives_it(diff, rows):
    assert [(one.name, one.before, one.ours, one.now, one.differs) for one in diff_rows("it", diff)] == rows


def test_what_somebody_else_changed_stands_in_three_columns(contained):
    diff = {"limit": {"before": -1, "ours": 0, "now": 5}, "login": {"before": True, "ours": False, "now": False}}
    said = "etl_reader was changed by somebody else after us."
    Step.objects.filter(run=contained, measure="credential.revoke").update(state="needs_human", diff=diff, said=said)
    Run.objects.filter(pk=contained.pk).update(state="needs_human", undo_at=clock.now())
    text = page_of(contained)
    assert "Somebody else changed it Revoke the credential" in text
    assert "connection limit no limit 0 5 not ours may log in yes no no" in text
    assert "commands that restore it by hand" in text
    assert "Receipt what came back, and what did not Revoke the credential waits for a person" in text


def test_a_contained_run_says_how_it_would_come_back(contained):
    assert "How it would come back 1. Restrict it to reading" in page_of(contained)


def test_a_person_steers_a_return_in_levels(contained):
    runs.undo(contained.pk, actor=SYSTEM, reason="a drill")
    Run.objects.filter(pk=contained.pk).update(level=1, next_at=clock.now() + timedelta(minutes=10), because="level 1 of 1 stands")
    Step.objects.filter(run=contained, stage="return-1").update(state="done", stage="return-1-held")
    text = page_of(contained)
    assert 'name="level" value="1"' in signed_in("mara").get(f"/runs/{contained.pk}/", follow=True).content.decode()
    assert "Then everything that is left is given back, by itself." in text
    assert "Contain again" not in page_of(contained, "ines")
    client = signed_in("mara")
    assert client.post(f"/runs/{contained.pk}/next-level/", {"level": "0"}, headers=HTMX).status_code == 409
    assert client.post(f"/runs/{contained.pk}/contain-again/", {"reason": ""}, headers=HTMX).status_code == 422
    assert client.post(f"/runs/{contained.pk}/contain-again/", {"reason": "again"}, headers=HTMX).status_code == 200
    contained.refresh_from_db()
    assert contained.state == "pending"
    assert client.post(f"/runs/{contained.pk}/next-level/", {"level": "1"}, headers=HTMX).status_code == 409


def test_a_return_that_stays_at_a_level_stands_in_the_queue_until_a_person_goes_on(contained):
    runs.undo(contained.pk, actor=SYSTEM, reason="a drill")
    Run.objects.filter(pk=contained.pk).update(level=1, next_at=clock.now() + timedelta(minutes=10), because="level 1 of 1 stands")
    Step.objects.filter(run=contained, stage="return-1").update(state="done", stage="return-1-held")
    waiting = counts()["/"]
    returning.stay(contained.pk, because="its secrets were read again")
    assert counts()["/"] == waiting + 1
    text = page_of(contained)
    assert "It stays at this level. Nothing looser is given back before a person goes on" in text
    assert "by itself" not in text.partition("It comes back in levels")[2].partition("Contain again")[0]
    signed_in("mara").post(f"/runs/{contained.pk}/next-level/", {"level": "1"}, headers=HTMX)
    assert counts()["/"] == waiting
    contained.refresh_from_db()
    assert contained.next_at <= clock.now()


def test_a_person_prolongs_what_ends_by_itself(contained):
    until = clock.now() + timedelta(hours=1)
    Run.objects.filter(pk=contained.pk).update(lasts_until=until)
    assert "It ends by itself" in page_of(contained)
    client = signed_in("mara")
    sent = {"by": "4", "reason": "not clear yet", "until": until.isoformat()}
    assert f'name="until" value="{until.isoformat()}"' in client.get(f"/runs/{contained.pk}/", follow=True).content.decode().replace(
        "&#x2B;", "+"
    )
    assert [client.post(f"/runs/{contained.pk}/prolong/", sent, headers=HTMX).status_code for _ in range(2)] == [200, 409]
    contained.refresh_from_db()
    assert contained.lasts_until == until + timedelta(hours=4)


def test_the_rescue_card_names_commands_and_no_secret(contained):
    page = signed_in("ines").get(f"/runs/{contained.pk}/rescue/")
    text = text_of(page)
    assert page.status_code == 200
    assert "Take back credential.revoke" in text
    assert "--open-sealed" in text
    assert "ALTER ROLE" in text or "What was there before" in text


def step(measure, state="undone", *, contained=False, said="", left=(), inverse="the state before", seen=True, disruptive=True):
    was = {"contained": contained} if seen else None
    return Step(
        seq=1, stage="hard", measure=measure, connector="x", state=state, said=said, left=list(left), inverse=inverse, was=was,
        disruptive=disruptive,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "why", "back"),
    [
        (step("a", said="back to open"), "back", True),
        (step("a", said="it is as it was", left=["SELECT on t: it does not exist any more"]), "back", False),
        (step("a", said="kept: run 1 holds it as well"), "kept", False),
        (step("a", inverse="irreversible"), "irreversible", False),
        (step("a", contained=True), "was_so_before", True),
        (step("a", seen=False), "untouched", True),
        (step("a", "needs_human", said="changed"), "foreign", False),
        (step("a", "undoing"), "not_yet", False),
    ],
)
def test_the_receipt_says_what_came_back_and_why_the_rest_did_not(one, why, back):
    (line,) = receipt([one, step("evidence.preserve", "done", disruptive=False)])
    assert (line.why, line.back) == (why, back)
    assert summary([line])["back"] == int(back)
    assert (summary([line])["rest"] == "nothing is missing") is back
