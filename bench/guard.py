"""How many calls the guard allows per second on one core, beside an empty view on the same server, with little known and with much.

The web server of the product (one process, one core where there are two), its PostgreSQL and Valkey, two sweepers, and clients in
processes of their own. Allowed calls and the empty view take turns, so that whatever else the machine does is shared by both. Then half of
the allowed calls' rate is sent at even times, for the time that an answer takes; what is late counts from when it was due.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg

from bench.report import percentile, table, write
from embedded.account import for_servers
from embedded.places import ROOT
from embedded.postgres import Postgres, free_port
from embedded.valkey import Valkey
from tests.servers import temporary_folder

AGENTS = 64
LIVED_THROUGH = 120  # events of each agent's past, over two weeks
CONNECTIONS, CLIENTS = 16, 2
TURNS = 3
WARM_S = 1.0
EMPTY, GUARD = "/bench/empty", "/access/v1/evaluation"
BEHIND_THE_DOOR = "/access/v1/bench/empty"
SHARE_WANTED, P99_WANTED_MS = 0.35, 25.0
TOOLS = ("ledger.read", "mail.read", "mail.send", "payments.book")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/bench guard")
    parser.add_argument("--identities", type=int, default=1_000_000, help="known in the end; it begins with 1,000")
    parser.add_argument("--activity", type=int, default=10_000_000, help="rows of the feed in the end; it begins with none")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each turn; there are three of each, few and many")
    parser.add_argument("--dry", action="store_true", help="print, and leave docs/performance.md alone")
    given = parser.parse_args(words)
    with _house() as house:
        house.furnish()
        few = house.measure(given.seconds)
        loading = house.load(given.identities, given.activity)
        many = house.measure(given.seconds)
        told = house.found(few, many, loading)
    body = table(["what", "few", "many"], told)
    notes = house.notes(few, many)
    print(f"{body}\n\n{notes}")  # noqa: T201
    if not given.dry:
        options = f"--identities {given.identities} --activity {given.activity} --seconds {given.seconds:g}"
        write("Guard", f"script/bench guard {options}", f"{body}\n\n{notes}")
    return 0 if not house.wrong else 1


@dataclass(slots=True)
class Measured:
    """Per second, turn by turn; at half of that, how long an answer took. `busy`: shares of the web server's core and the clients'.
    `cost`: seconds of processor that the web server spends on one request, which says more than the rate where others use the machine."""

    empty: list[float] = field(default_factory=list)
    guard: list[float] = field(default_factory=list)
    at_half: list[float] = field(default_factory=list)
    half: float = 0.0
    alone: list[float] = field(default_factory=list)
    door: float = 0.0
    server_busy: list[float] = field(default_factory=list)
    cost: dict[str, list[float]] = field(default_factory=lambda: {EMPTY: [], GUARD: []})
    clients_busy: list[float] = field(default_factory=list)
    quick: float = 0.0
    identities: int = 0
    activity: int = 0

    @property
    def share(self) -> float:
        """The middle of the turns, each compared with its neighbour."""
        return statistics.median(guard / empty for guard, empty in zip(self.guard, self.empty, strict=True))


@dataclass(slots=True)
class House:
    database: Postgres
    environment: dict[str, str]
    port: int
    web: subprocess.Popen[bytes] | None = None
    programs: list[subprocess.Popen[bytes]] = field(default_factory=list)
    headers: str = ""
    bodies: list[list[str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    cores: list[int] = field(default_factory=lambda: sorted(os.sched_getaffinity(0)))

    # -- what is measured

    def furnish(self) -> None:
        """Agents with a profile, a registered session and two weeks of past; each has asked once, so that its session is known."""
        import django

        os.environ.update(self.environment)
        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        token = _agents()
        self._known(1_000, 0)
        self.headers = f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nHost: 127.0.0.1\r\n"
        self.bodies = [[_question(agent, number) for number in range(8)] for agent in range(AGENTS)]
        self._start()
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60) as client:
            for mine in self.bodies:
                sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
                answer = client.post(GUARD, content=mine[0], headers=sent)
                if not answer.json()["decision"]:
                    raise SystemExit(f"A call that should be allowed is not: {answer.text}")

    def load(self, identities: int, activity: int) -> float:
        began = time.monotonic()
        self._known(identities, activity)
        return time.monotonic() - began

    def measure(self, seconds: float) -> Measured:
        found = Measured()
        self._run(GUARD, min(seconds, 2.0))  # prepares statements, fills what is remembered
        since = self._ask("SELECT clock_timestamp()")
        for _ in range(TURNS):
            found.empty.append(self._turn(EMPTY, seconds, found))
            found.guard.append(self._turn(GUARD, seconds, found))
        found.half = statistics.median(found.guard) / 2
        found.at_half = self._run(GUARD, seconds * 2, rate=found.half)["took"]
        found.alone = self._run(GUARD, seconds / 2, connections=1)["took"]
        found.door = len(self._run(BEHIND_THE_DOOR, seconds / 2)["took"]) / (seconds / 2)
        found.quick = float(
            self._ask("SELECT avg((digest = '')::int) FROM guard_call WHERE verdict = 'allow' AND asked_at > %s", since) or 0
        )
        found.identities = int(self._ask("SELECT count(*) FROM identity"))
        found.activity = int(self._ask("SELECT count(*) FROM activity"))
        return found

    def _turn(self, path: str, seconds: float, found: Measured) -> float:
        assert self.web is not None  # noqa: S101 - started
        before, began = _worked(self.web.pid), time.monotonic()
        told = self._run(path, seconds)
        worked = _worked(self.web.pid) - before
        found.cost[path].append(worked / max(1, told["all"]))
        if path == GUARD:
            found.server_busy.append(worked / (time.monotonic() - began))
            found.clients_busy.append(max(told["worked"]))
        return len(told["took"]) / seconds

    def _run(self, path: str, seconds: float, *, rate: float = 0.0, connections: int = CONNECTIONS) -> dict[str, Any]:
        """Each connection speaks for agents of its own, as runtimes do."""
        clients = min(CLIENTS, connections)
        wants = '"decision": true' if path == GUARD else "{}"
        requests: list[list[str]] = [[] for _ in range(connections)]
        for number, mine in enumerate(self.bodies):
            requests[number % connections] += mine
        sent = [[_request(path, self.headers, body) for body in _mixed(mine)] for mine in requests]
        running = []
        for client in range(clients):
            plan = {"port": self.port, "connections": sent[client::clients], "warm": WARM_S, "seconds": seconds, "wants": wants}
            plan |= {"rate": rate / clients} if rate else {}
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.loader"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            _onto(process.pid, self.cores[1:])
            assert process.stdin is not None  # noqa: S101 - a pipe
            process.stdin.write(json.dumps(plan))
            process.stdin.close()
            running.append(process)
        told = [json.loads(process.stdout.read()) for process in running if process.stdout is not None and process.wait() is not None]
        for one in told:
            if one["wrong_count"] or one["broken"]:
                self.wrong.append(f"{one['wrong_count']} answers were not an allow, {one['broken']} connections broke: {one['wrong'][:1]}")
        took = [took for one in told for took in one["took"]]
        return {"took": took, "worked": [one["worked"] for one in told], "all": sum(one["all"] for one in told)}

    # -- what it stands on

    def _start(self) -> None:
        log = (self.database.folder / "programs.log").open("wb")

        def start(*words: str) -> subprocess.Popen[bytes]:
            self.programs.append(
                subprocess.Popen([sys.executable, *words], cwd=ROOT, env=self.environment, stdout=log, stderr=subprocess.STDOUT)
            )
            return self.programs[-1]

        server = ("-m", "granian", "--interface", "asginl", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1")
        self.web = start(*server, "--loop", "uvloop", "--no-access-log", "config.asgi:application")
        _onto(self.web.pid, self.cores[:1])
        for name in ("sweeper-1", "sweeper-2"):
            _onto(start("manage.py", "sweep", "--name", name).pid, self.cores[1:])
        ends = time.monotonic() + 60
        while time.monotonic() < ends:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{self.port}/livez", timeout=5).status_code == 200:
                    return
            time.sleep(0.1)
        raise SystemExit(f"The web server did not answer. {log.name} says why.")

    def end(self) -> None:
        for program in self.programs:
            program.send_signal(signal.SIGTERM)
        for program in self.programs:
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.wait(10)
            if program.poll() is None:
                program.kill()

    def _known(self, identities: int, activity: int) -> None:
        """So many in all. Rows that nobody asks about, made by the database itself, their indexes built afterwards."""
        with self._connected() as connection:
            connection.execute("SET session_replication_role = replica; SET maintenance_work_mem = '512MB'; SET synchronous_commit = off")
            connection.execute("SET statement_timeout = 0; SET max_parallel_maintenance_workers = 2")
            with _without_indexes(connection, "identity", at_least=50_000, rows=identities):
                connection.execute(_IDENTITIES, {"until": identities})
            with _without_indexes(connection, "activity", at_least=50_000, rows=activity):
                connection.execute(_ACTIVITY, {"until": activity})
            connection.execute("ANALYZE identity; ANALYZE activity")
            connection.execute("CHECKPOINT")

    def _ask(self, question: str, *values: Any) -> Any:
        with self._connected() as connection:
            row = connection.execute(question.encode(), values or None).fetchone()
            return row[0] if row else None

    def _connected(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.database.dsn("holdfast"), autocommit=True)

    # -- what is told

    def found(self, few: Measured, many: Measured, loading: float) -> list[list[str]]:
        def both(say: Any) -> list[str]:
            return [say(few), say(many)]

        return [
            ["known identities · rows of the feed", *both(lambda one: f"{one.identities:,} · {one.activity:,}")],
            ["allowed calls per second, one process", *both(lambda one: f"{statistics.median(one.guard):,.0f}")],
            ["an empty Django view per second, same server", *both(lambda one: f"{statistics.median(one.empty):,.0f}")],
            ["… behind the guard's own door, without Django's sessions and sign-in", *both(lambda one: f"{one.door:,.0f}")],
            ["**share of the empty view** (wanted: 35 %)", *both(lambda one: f"**{one.share:.0%}** ({_turns(one)})")],
            [
                "processor time of the server: an empty view · a call · share",
                *both(
                    lambda one: (
                        f"{_middle(one, EMPTY):.2f} ms · {_middle(one, GUARD):.2f} ms · {_middle(one, EMPTY) / _middle(one, GUARD):.0%}"
                    )
                ),
            ],
            ["calls per second at half load", *both(lambda one: f"{one.half:,.0f}")],
            [
                f"**p50 · p99 at half load** (wanted: p99 ≤ {P99_WANTED_MS:.0f} ms)",
                *both(lambda one: f"{_ms(one.at_half, 0.5)} · **{_ms(one.at_half, 0.99)}**"),
            ],
            ["p50 · p99 of one client alone", *both(lambda one: f"{_ms(one.alone, 0.5)} · {_ms(one.alone, 0.99)}")],
            ["answered the quick way", *both(lambda one: f"{one.quick:.1%}")],
            ["the server's core, busy with it", *both(lambda one: f"{statistics.median(one.server_busy):.0%}")],
            ["the busier client, of a core", *both(lambda one: f"{statistics.median(one.clients_busy):.0%}")],
            ["loading what is known", "", f"{loading:.0f} s"],
        ]

    def notes(self, few: Measured, many: Measured) -> str:
        where = "the web server on a core of its own; PostgreSQL, sweepers and clients on the others" if len(self.cores) > 1 else "one core"
        change = statistics.median(many.guard) / statistics.median(few.guard) * statistics.median(few.empty) / statistics.median(many.empty)
        limited = [one for one in (few, many) if statistics.median(one.clients_busy) > 0.9 or statistics.median(one.server_busy) < 0.9]
        lines = [
            f"{AGENTS} agents of which each has a session, a profile in force and a past; {CONNECTIONS} connections; {where}.",
            f"With everything known, a call costs {1 / change:.2f} times what it cost with little, measured in empty views.",
        ]
        if limited:
            lines.append("The server's core was not full or a client's was: the server can do more than stands here.")
        return "\n".join([*lines, *dict.fromkeys(self.wrong)])


@contextlib.contextmanager
def _house() -> Iterator[House]:
    folder = temporary_folder("bench-guard")
    account = for_servers()
    settings = {"max_connections": "100", "shared_buffers": "512MB", "max_wal_size": "4GB", "wal_level": "minimal", "max_wal_senders": "0"}
    database, valkey = Postgres(folder / "postgres", account=account, settings=settings), Valkey(folder / "valkey", account=account)
    database.start()
    valkey.start()
    house = None
    try:
        database.ensure_database("holdfast", owner=database.superuser)
        port = free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "DATABASE_"))} | {
            "DATABASE_URL": database.dsn("holdfast"),
            "BROKER_URL": valkey.broker_url(2),
            "CHANNELS_URL": valkey.url(1),
            "DJANGO_SETTINGS_MODULE": "bench.settings",
            "HOLDFAST_HOME": str(folder / "home"),
            "HOLDFAST_ORIGIN": f"http://127.0.0.1:{port}",
            "HOLDFAST_SECRET_KEY": secrets.token_urlsafe(48),
            "HOLDFAST_SEAL_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        yield (house := House(database, environment, port))
    finally:
        if house is not None:
            house.end()
        valkey.stop()
        database.stop()
        _forget(folder)


def _forget(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


# -- who asks, and what --------------------------------------------------------------------------------------------------------------------


def _agents() -> str:
    from accounts import tokens
    from accounts.models import Person
    from audit import clock
    from containment import documents, policies, sessions, speaking
    from containment.models import Resource, Source
    from containment.sessions import Registration
    from core.actor import SYSTEM
    from tests import cast, make

    make.house()
    Source.objects.get_or_create(name=speaking.GUARD)
    profile = {
        "tools": [{"name": tool, "writes": tool in ("mail.send", "payments.book"), "trusted": tool == "ledger.read"} for tool in TOOLS],
        "budgets": {"calls_per_hour": 10**9, "writes_per_hour": 10**9},
        "environments": ["prod"],
    }
    document = documents.draft("agent_profile", "invoices", profile, actor=cast.person("enzo"))
    documents.approve(document.pk, actor=cast.person("mara"), seen_digest=document.digest)
    for number in range(20):
        Resource.objects.create(kind="ledger", key=f"ledger/{number}", sensitivity="moderate", system="books")
    _, token = tokens.issue(
        name="gateway",
        owner=Person.objects.get(username="enzo"),
        scopes=["guard.ask", "sessions.write"],
        actor=SYSTEM,
        life=timedelta(days=1),
    )
    for number in range(AGENTS):
        made = make.identity(f"agent-{number}", provider="holdfast", kind="ai_agent")
        task = f"Pay the open invoices of vendor-{number}@example.org and say so to office@example.org."
        said = Registration(
            provider="holdfast", subject=made.subject, kind="ai_agent", name=f"run-{number}", intent={"profile": "invoices", "task": task}
        )
        session, _ = sessions.register(said, actor=cast.person("enzo"))
        _past(made, session, clock.now(), policies.document(policies.in_force().text))
    return token


def _past(identity: Any, session: Any, now: Any, policy: Any) -> None:
    from django.db import transaction

    from containment import baselines
    from containment.baselines import Doing
    from containment.domain.event import Event

    step = timedelta(days=14) / LIVED_THROUGH
    doings = [
        Doing(
            event=Event(
                occurred_at=now - timedelta(days=14) + step * number,
                action="tool.call",
                resource_kind="ledger",
                resource=f"ledger/{number % 20}",
                system="books",
                session=str(session.pk),
            ),
            identity=identity.pk,
            session=session.pk,
        )
        for number in range(LIVED_THROUGH)
    ]
    with transaction.atomic():
        baselines.live_through(doings, policy, now=now)


def _question(agent: int, number: int) -> str:
    tool = TOOLS[number % len(TOOLS)]
    arguments = {
        "ledger.read": {"month": "october", "vendor": f"vendor-{agent}"},
        "mail.read": {"folder": "invoices", "limit": 20},
        "mail.send": {"to": "office@example.org", "subject": f"Invoice {number}", "text": "The invoice was paid as agreed."},
        "payments.book": {"recipient": f"vendor-{agent}@example.org", "amount": "125.00", "reference": f"2026-{number:03}"},
    }[tool]
    return json.dumps(
        {
            "subject": {"type": "agent", "id": f"agent-{agent}", "properties": {"provider": "holdfast"}},
            "action": {"name": "tools/call", "properties": {"tool": tool, "arguments": arguments}},
            "resource": {"type": "ledger", "id": f"ledger/{(agent + number) % 20}", "properties": {"system": "books"}},
            "context": {"session": f"run-{agent}", "environment": "prod"},
        }
    )


def _mixed(bodies: Sequence[str]) -> list[str]:
    """One agent after the other, not one of them until it is done."""
    return [bodies[(number * 9) % len(bodies)] for number in range(len(bodies))] if len(bodies) % 3 else list(bodies)


def _request(path: str, headers: str, body: str) -> str:
    return f"POST {path} HTTP/1.1\r\n{headers}Content-Length: {len(body.encode())}\r\n\r\n{body}"


# -- the machine ---------------------------------------------------------------------------------------------------------------------------


def _onto(pid: int, cores: Sequence[int]) -> None:
    """Every thread that it has and will have."""
    if not cores:
        return
    os.sched_setaffinity(pid, cores)


def _worked(pid: int) -> float:
    """Seconds of processor that it and everything it started have used."""
    total, ring = 0, [pid]
    while ring:
        one = ring.pop()
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
            ring += [int(word) for word in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    return total / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _without_indexes(connection: psycopg.Connection[Any], table: str, *, at_least: int, rows: int) -> Iterator[None]:
    """Indexes of many new rows are built at once, afterwards; those that constraints stand on stay."""
    found = connection.execute(
        "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass"
        " AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)",
        [table],
    ).fetchall()
    taken = found if rows >= at_least else []
    for name, _ in taken:
        connection.execute(f"DROP INDEX {name}".encode())
    yield
    for _, statement in taken:
        connection.execute(statement.encode())


_IDENTITIES = """
    INSERT INTO identity (id, provider, subject, kind, name, environment, tenant, owner_team, reach, reach_from, drive, known_networks,
                          attested, protected, protected_because, created_at)
    SELECT gen_random_uuid(), 'directory', 'known-' || n, 'service_account', '', 'prod', '', 'soc', 'wide', 'typed', '', '{}', '{}', false,
           '', clock_timestamp() - interval '1 year'
    FROM generate_series((SELECT count(*) FROM identity) + 1, %(until)s) AS n
"""
_ACTIVITY = """
    INSERT INTO activity (source_id, external_id, identity_id, session_id, resource_id, action, count, tool, writes, system, occurred_at,
                          received_at, learned)
    SELECT source.id, 'a-' || n, who.ids[1 + n %% who.many], NULL, NULL, 'data.read', 1, '', false, 'books',
           clock_timestamp() - interval '30 days' * (n::float / greatest(%(until)s, 1)), clock_timestamp(), true
    FROM generate_series(1, %(until)s) AS n,
        (SELECT id FROM source LIMIT 1) AS source,
        (SELECT array_agg(id) AS ids, count(*)::int AS many FROM (SELECT id FROM identity LIMIT 10000) AS a_few) AS who
"""


def _turns(one: Measured) -> str:
    return ", ".join(f"{guard / empty:.0%}" for guard, empty in zip(one.guard, one.empty, strict=True))


def _middle(one: Measured, path: str) -> float:
    return statistics.median(one.cost[path]) * 1000


def _ms(values: list[float], share: float) -> str:
    return f"{percentile(values, share) * 1000:.1f} ms" if values else "–"
