"""The page of scenarios: what each is about, who may play one, and what came of it the last time."""

import json
from dataclasses import replace

import pytest
from django.urls import include, path

from config.urls import urlpatterns as everything
from containment.models import Decision
from core.ids import uuid7
from tests import make
from tests.console.doors import HTMX, signed_in, words
from trial import pages
from trial.scenarios import ALL, SIGNALS, Outcome, Scenario, ScenarioTrouble

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]
urlpatterns = [*everything, path("", include("trial.urls"))]


@pytest.fixture
def trial_home(settings, tmp_path):
    """A home with the access.json of a trial that has an estate."""
    settings.TRIAL, settings.HOME = True, tmp_path
    (tmp_path / "access.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "tokens": {"detections": "x"}, "estate": {"dsn": "x"}}))


@pytest.fixture
def played(monkeypatch, trial_home):
    """A scenario that needs no estate: it posts its detection through intake, as the API would."""
    make.house()
    make.identity("etl_reader")

    def run(access):
        decision = make.detected("etl_reader", external_id=f"leaked-secret-{uuid7()}")
        return Outcome(
            "leaked-secret", ["Logged in."], ["See it go."], {"decision": {"verdict": decision.verdict, "because": "it says so"}}
        )

    real = ALL["leaked-secret"]
    monkeypatch.setitem(ALL, "leaked-secret", Scenario(real.name, real.title, real.story, real.expect, run))


def test_every_scenario_is_offered_with_its_story(trial_home):
    text = words(signed_in("ines").get("/scenarios/"))
    for scenario in (*ALL.values(), *SIGNALS.values()):
        assert scenario.title in text
        assert scenario.story in text
    assert text.count("Not played yet.") == len(ALL) + len(SIGNALS)
    assert "made up" in text  # of the two weeks before the first start


def test_somebody_who_may_not_play_is_told_who_could(trial_home):
    client = signed_in("wren")
    assert "Running scenarios is for an analyst or a manager" in words(client.get("/scenarios/"))
    assert client.post("/scenarios/leaked-secret/run/").status_code == 403


def test_playing_shows_what_happened_what_to_watch_and_where_it_led(played):
    response = signed_in("ines").post("/scenarios/leaked-secret/run/", headers=HTMX)
    decision = Decision.objects.get()
    text = words(response)
    assert "Logged in. Holdfast decided: contain . it says so" in text
    assert "See it go." in text
    assert f'href="/runs/{decision.run_id}/"' in response.content.decode()
    assert "<html" not in response.content.decode()


def test_what_came_of_it_is_there_the_next_time_and_without_script(played):
    client = signed_in("ines")
    assert "See it go." in words(client.post("/scenarios/leaked-secret/run/"))
    card = next(card for card in client.get("/scenarios/").context["cards"] if card.scenario.name == "leaked-secret")
    assert card.decision.decision == Decision.objects.get()


def test_a_scenario_whose_name_begins_another_ones_keeps_to_its_own(played):
    make.detected("etl_reader", external_id=f"leaked-secret-again-{uuid7()}")
    card = next(card for card in signed_in("ines").get("/scenarios/").context["cards"] if card.scenario.name == "leaked-secret")
    assert card.last is None


def test_the_line_of_a_signal_shows_what_it_weighed_and_leads_to_the_decision(trial_home, monkeypatch):
    make.house()
    make.identity("etl_reader")

    def run(access):
        decision = make.detected("etl_reader", external_id=f"signal-source-claim-{uuid7()}")
        told = {"verdict": decision.verdict, "because": "it says so", "signals": decision.signals}
        return Outcome("signal-source-claim", ["Posted it."], [], {"decision": told})

    monkeypatch.setitem(SIGNALS, "signal-source-claim", replace(SIGNALS["signal-source-claim"], run=run))
    response = signed_in("ines").post("/scenarios/signal-source-claim/run/", headers=HTMX)
    decision = Decision.objects.get()
    found = next(one for one in decision.signals if one["code"] == "source_claim")
    assert f"{found['decibans']:.1f} decibans" in words(response)
    assert f'href="/decisions/{decision.pk}/"' in response.content.decode()
    assert response.content.decode().strip().startswith("<tr")


def test_an_empty_trial_says_that_there_is_nothing_to_play_in(settings, tmp_path):
    settings.TRIAL, settings.HOME = True, tmp_path
    client = signed_in("ines")
    assert "This trial has no estate to play in." in words(client.get("/scenarios/"))
    assert "access.json cannot be read" in client.post("/scenarios/leaked-secret/run/", follow=True).content.decode()
    with pytest.raises(ScenarioTrouble):
        pages._access()


def test_a_scenario_that_does_not_exist_is_not_there(trial_home):
    assert signed_in("ines").post("/scenarios/nothing/run/").status_code == 404
