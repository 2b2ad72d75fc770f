"""An estate of the trial's own: its roles and its closed doors belong to a whole cluster, which the other tests' estate is not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from embedded.account import for_servers
from embedded.postgres import Postgres
from tests.servers import FAST, start, temporary_folder
from tests.trial.door import Door
from tests.trial.helpers import do
from trial.agent import papers
from trial.agent.__main__ import tools
from trial.agent.life import Agent, Command
from trial.agent.sitting import Sitting
from trial.agent.words import DOCUMENTS, KEY, TOKEN
from trial.estate import Estate, build
from trial.tools.desk import ROLE
from trial.workloads.base import Workload
from trial.workloads.mail_sink import MailSink


@pytest.fixture(scope="session")
def cluster() -> Iterator[Postgres]:
    server = Postgres(temporary_folder("trial"), account=for_servers(), superuser="estate_admin", settings=FAST)
    start(server)
    server.ensure_database("estate", owner="estate_admin")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def built(cluster: Postgres, home: Path) -> Estate:
    return build(cluster.dsn("estate"), home)


@pytest.fixture
def working() -> Iterator[Callable[..., Workload]]:
    """Starts workloads, and ends them with the test."""
    stop = threading.Event()
    started: list[Workload] = []

    def start(kind: type[Workload], *arguments: object) -> Workload:
        workload = kind(arguments[0], stop, *arguments[1:])  # type: ignore[arg-type]
        started.append(workload)
        workload.start()
        return workload

    yield start
    stop.set()
    for workload in started:
        workload.join(10)


@pytest.fixture
def holdfast(home: Path) -> Iterator[Door]:
    """Somebody who answers where Holdfast would, and lets the agent in."""
    (home / TOKEN).write_text(json.dumps({"token": "hf_agent"}))
    with Door().open() as door:
        yield door
    (home / TOKEN).unlink()


@pytest.fixture
def sink(built: Estate, home: Path) -> Iterator[MailSink]:
    """The estate's mail server."""
    stop = threading.Event()
    thread = MailSink(built, home, stop)
    thread.start()
    yield thread
    stop.set()
    thread.join(10)
    do(built, "TRUNCATE mail.arrived")


@pytest.fixture
def living(built: Estate, home: Path, sink: MailSink) -> Iterator[Callable[..., Agent]]:
    """The agent at work, in a thread of its own: with its tools in its hands, or with a command that stands before them."""
    papers.lay_out(home / DOCUMENTS)
    (home / KEY).write_text(json.dumps({"conninfo": built.conninfo(ROLE, "")}))
    agents: list[Agent] = []
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None], threading.Thread]] = []

    def start(url: str, command: Command = lambda session: tools(home, session)) -> Agent:
        agent = Agent(home, built, Sitting(httpx.AsyncClient(base_url=url, timeout=5.0), home), command)
        agent.every = 0.1
        agents.append(agent)
        loop = asyncio.new_event_loop()
        task = loop.create_task(agent.live())
        thread = threading.Thread(target=_until_cancelled, args=[loop, task], daemon=True)
        thread.start()
        ends.append((loop, task, thread))
        return agent

    yield start
    for loop, task, thread in ends:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(20)
        loop.run_until_complete(_let_go(agents))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    do(built, "TRUNCATE agents.calls, agents.bookings, agents.diary")


async def _let_go(agents: list[Agent]) -> None:
    for agent in agents:
        await agent.sitting.client.aclose()


def _until_cancelled(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
