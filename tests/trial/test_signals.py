"""Each signal once, from outside: the scenarios post through the real API, in this process, to the trial's own inventory and estate."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections

from connectors import registry
from containment import sweep
from containment.domain.families import FAMILIES
from containment.gate import Gate
from tests.trial.begun import begun
from trial.estate import Estate
from trial.management.commands import scenario
from trial.scenarios import ALL, SIGNALS, Outcome, through_api
from trial.scenarios.signals import QUIET
from trial.scenarios.through_api import Holdfast, visit
from trial.seed import ACCESS

pytestmark = pytest.mark.django_db
URL = "http://testserver"


@pytest.fixture
def access(built: Estate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A seeded trial whose API answers in this process; while a scenario waits, a sweeper does what is due."""
    registry.configure(settings.CONNECTORS | {"postgres": {"use": "postgres", "dsn": built.dsn}}, gate=Gate())
    begun(tmp_path, URL, built)
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)  # the requests share the connection of the test
    inside = httpx.WSGITransport(app=get_wsgi_application())
    monkeypatch.setattr(through_api, "connect", lambda access: httpx.Client(transport=inside, base_url=access["url"]))
    monkeypatch.setattr(through_api, "sleep", _do_what_is_due)
    yield json.loads((tmp_path / ACCESS).read_text())
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)
    registry.configure(settings.CONNECTORS, gate=Gate())


def _do_what_is_due(_: float) -> None:
    if not sweep.sweep_once():
        time.sleep(0.05)


def test_there_is_one_scenario_for_every_signal() -> None:
    assert [one.signal for one in SIGNALS.values()] == list(FAMILIES)
    assert all(one.story.count(". ") == 1 for one in SIGNALS.values())  # two sentences
    assert not set(SIGNALS) & set(ALL)


def test_every_signal_appears_with_the_verdict_that_is_promised_and_appears_again(access: dict[str, Any]) -> None:
    first = {name: one.run(access) for name, one in SIGNALS.items()}
    assert {name: _told(outcome) for name, outcome in first.items()} == {name: (one.signal, one.expect) for name, one in SIGNALS.items()}
    again = {name: one.run(access) for name, one in SIGNALS.items()}
    assert [name for name, outcome in again.items() if not SIGNALS[name].came_to(outcome)] == []


def _told(outcome: Outcome) -> tuple[str, str]:
    code = SIGNALS[outcome.scenario].signal
    return (code if outcome.shows(code) else "did not appear", outcome.verdict)


def test_what_a_person_undid_is_seen_again_and_asked_about_only_with_something_new(access: dict[str, Any]) -> None:
    outcome = ALL["undo-and-again"].run(access)
    told = " ".join(outcome.happened)
    assert "Holdfast decided: contain. Its run came to contained, manager undid it" in told
    assert "Reported the same once more. Holdfast decided: watch. Seen again." in told
    assert (outcome.verdict, outcome.because.partition("this is new: ")[2]) == ("hold", "privilege_change.")


def test_the_same_access_is_new_to_one_workflow_and_usual_in_the_other(access: dict[str, Any]) -> None:
    outcome = ALL["one-account-two-workflows"].run(access)
    assert ["no." in outcome.happened[0], "yes." in outcome.happened[1]] == [True, True]
    assert "the workflow daily" in outcome.signals["first_access"]["because"]


def test_the_command_plays_them_all_and_fails_where_a_signal_did_not_appear(
    access: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {name: SIGNALS[name] for name in ("signal-source-claim", "signal-role-confusion")}
    monkeypatch.setattr(scenario, "SIGNALS", shown)
    call_command(scenario.Command(), "--signals", "--home", str(tmp_path))
    assert re.findall(r"^(\w+) +([\d.]+) +([\d.]+)  (\w+) +http://testserver/decisions/", capsys.readouterr().out, flags=re.MULTILINE) == [
        ("source_claim", "0.61", "4.86", "watch"),
        ("role_confusion", "1.00", "14.00", "watch"),
    ]
    monkeypatch.setitem(shown, "signal-source-claim", replace(shown["signal-source-claim"], signal="honeytoken"))
    with pytest.raises(CommandError, match="did not appear: honeytoken"):
        call_command(scenario.Command(), "--signals", "--home", str(tmp_path))


def test_the_examples_of_the_reference_bring_their_signals_about(access: dict[str, Any]) -> None:
    """Post after post as the page shows them, with the members that it says it leaves out."""
    page = (Path(settings.ROOT) / "docs" / "reference" / "signals.md").read_text()
    leaked = sha256(access["estate"]["roles"]["partner_export"].encode()).hexdigest()
    sections = re.findall(r"^### ([a-z_]+)$(.*?)(?=^##|\Z)", page, flags=re.MULTILINE | re.DOTALL)
    found = {}
    with visit(access) as holdfast:
        for code, section in sections:
            for path, said in re.findall(r"```http\nPOST (\S+)\n(.*?)```", section, flags=re.DOTALL):
                answer = _post(holdfast, path, json.loads(said.replace("sha256:…", f"sha256:{leaked}")))
            found[code] = Outcome(code, [], [], answer).shows(code)
    assert found == dict.fromkeys(FAMILIES, True)


def _post(holdfast: Holdfast, path: str, said: Any) -> Mapping[str, Any]:
    if path == "/api/v1/detections":
        context = said.pop("context", {})
        return holdfast.detect("example", **{"title": "An example", **QUIET, **said, **context})
    if path == "/api/v1/activity":
        return holdfast.tell(*said)
    if path == "/api/v1/exposures":
        return holdfast.expose("example", **said)
    return holdfast._post(path, "guard", said)
