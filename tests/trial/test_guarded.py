"""The agent behind the guard, whole: its process's own loop, the proxy, the tools, Holdfast over HTTP, and a sweeper that contains."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from embedded.places import ROOT
from tests.browser.conftest import server
from tests.servers import temporary_folder
from tests.trial.helpers import ask, eventually
from tests.trial.test_agent import tools_of
from trial.agent.__main__ import behind_the_guard
from trial.agent.life import Agent
from trial.agent.words import DOCUMENTS
from trial.estate import Estate
from trial.scenarios import ALL, ScenarioTrouble
from trial.scenarios.poisoned_document import THEIRS
from trial.scenarios.through_api import visit
from trial.seed import Access, seed

__all__ = ["server"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.servers]


@pytest.fixture
def sweeper(server: str) -> Iterator[None]:
    from django.db import connection

    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    environment = os.environ | {"DATABASE_URL": database, "DATABASE_OWNER_URL": database}
    log = temporary_folder("sweeper") / "sweeper.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "sweep", "--name", "of-a-test"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    yield
    process.terminate()
    process.wait(20)


@pytest.fixture
def access(server: str, built: Estate, home: Path) -> dict[str, Any]:
    seed(home, url=server, estate=built)
    found = Access.read(home)
    estate = {"dsn": built.dsn, "roles": dict(built.passwords), "documents": str(home / DOCUMENTS)}
    return {"url": server, "users": found.users, "tokens": found.tokens, "estate": estate}


@pytest.fixture
def agent(access: dict[str, Any], home: Path, living: Callable[..., Agent]) -> Agent:
    url = str(access["url"])
    at_work = living(url, lambda session: behind_the_guard(url, home, session))
    eventually(lambda: at_work.status.worked >= 3, seconds=60)
    return at_work


def test_a_poisoned_document_stops_it_in_mid_chain_and_a_person_lets_it_go_on(
    access: dict[str, Any], built: Estate, sweeper: None, agent: Agent
) -> None:
    poisoned = ALL["poisoned-document"]
    outcome = poisoned.run(access)
    assert poisoned.came_to(outcome)
    assert ask(built, "SELECT count(*) FROM mail.arrived WHERE %s = ANY (recipients)", THEIRS) == 0
    eventually(lambda: agent.status.state == "waiting")
    assert "paused" in str(agent.status.last_error)
    with visit(access) as holdfast:
        run = outcome.answer["run"]["id"]
        with holdfast.person("manager") as manager:
            assert manager.post(f"/api/v1/runs/{run}/undo", {"reason": "The document is out of the folder."}).status_code in (200, 202)
        assert holdfast.wait_for_run(run, ["undone"]) == "undone"
    worked = agent.status.worked
    eventually(lambda: agent.status.worked >= worked + 4, seconds=60)
    ordinary = ALL["ordinary-document"]
    assert ordinary.came_to(ordinary.run(access))


@pytest.mark.big
def test_a_large_booking_waits_for_a_person_and_is_made_when_they_allow_it(
    access: dict[str, Any], built: Estate, sweeper: None, agent: Agent
) -> None:
    outcome = ALL["large-booking"].run(access)
    hold = outcome.answer["hold"]
    assert ask(built, "SELECT count(*) FROM agents.bookings") == 0
    with visit(access) as holdfast, holdfast.person("manager") as manager:
        said = {"word": "approve", "plan_digest": hold["plan_digest"], "reason": "The delivery is here."}
        assert manager.post(f"/api/v1/holds/{hold['id']}/answer", said).status_code == 200
    assert eventually(lambda: ask(built, "SELECT sum(amount) FROM agents.bookings"), seconds=60) == 4800


@pytest.mark.big
def test_a_proxy_that_is_killed_comes_back_and_nothing_passes_beside_it(built: Estate, agent: Agent) -> None:
    before = agent.status.connections
    for pid in tools_of(os.getpid()):  # the proxy's command line names the tools, too
        os.kill(pid, 9)
    eventually(lambda: agent.status.connections > before, seconds=60)
    worked = agent.status.worked
    eventually(lambda: agent.status.worked > worked, seconds=60)


@pytest.mark.big
def test_without_the_agent_a_scenario_says_what_it_waited_for(access: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trial.scenarios.papers.ITS_TURN", 0.5)
    with pytest.raises(ScenarioTrouble, match="The agent did nothing"):
        ALL["ordinary-document"].run(access)
