"""Everything dies, again and again, while detections come in: what was acknowledged is carried out, once, and nothing is stuck.

The product with its own PostgreSQL and Valkey, two workers and two sweepers, under no supervisor: this program kills them and starts them
again. What they act on is the world (tests/world), which misbehaves on order and keeps a ledger of what really happened. In the end
nothing dies any more, everything due is done, and the ledger is compared with the rows.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import psycopg

from bench.report import percentile, table, write
from core.ids import uuid7
from embedded.account import for_servers
from embedded.places import ROOT
from embedded.postgres import Postgres, free_port
from embedded.process import spawn, tail, wait_until
from embedded.valkey import Valkey
from tests.plain import NO_TLS
from tests.servers import temporary_folder
from tests.world.target import CUT, MEASURES, Fault, World

if TYPE_CHECKING:
    from playbooks.models import Run, Step

POSTERS, EACH_S = 2, 0.5
UNDONE, FAULTY, SLOW, DUPLICATE = 0.3, 0.6, 0.5, 0.1  # shares of what is posted
FROZEN_S = 12.0  # beyond the lease
BETWEEN_S = (3.0, 8.0)
DRAINED_S = 240.0
TAKEN_OVER_WANTED_S = 15.0
SLOWEST = 5  # to be taken over, told in full
FAULTS: Sequence[tuple[Fault, Mapping[str, Any]]] = (
    (Fault.BEFORE, {}),
    (Fault.AFTER, {}),
    (Fault.TIMES_OUT, {}),
    (Fault.HANGS_UP, {}),
    (Fault.GARBAGE, {}),
    (Fault.ENDLESS, {}),
    (Fault.DRIPS, {}),
    *((Fault.BUSY, {"after": after}) for after in ("1", "0", "-5", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", None)),
    (Fault.LAG, {"seconds": 2}),
    (Fault.LAG, {"seconds": 6}),
    (Fault.STALE, {}),
    (Fault.WRONG_ACCOUNT, {}),
    (Fault.NO_PERMISSION, {}),
)
UNFINISHED = ("pending", "running", "verifying", "undoing", "reinstating")


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="script/bench chaos")
    parser.add_argument("--minutes", type=float, default=10.0, help="of dying; draining comes on top")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dry", action="store_true", help="print, and leave docs/performance.md alone")
    given = parser.parse_args(words)
    found, wrong = chaos(given.minutes, given.seed)
    body = table(["what", "found"], [[what, said] for what, said in found.items()])
    print(body)  # noqa: T201
    if wrong:
        print("\n".join(f"WRONG: {one}" for one in wrong))  # noqa: T201
        return 1
    if not given.dry:
        write("Chaos", f"script/bench chaos --minutes {given.minutes:g} --seed {given.seed}", body)
    return 0


def chaos(minutes: float, seed: int) -> tuple[dict[str, str], list[str]]:
    """What was found, and what of it is wrong."""
    with _house() as house:
        storm = Storm(house, random.Random(seed))  # noqa: S311 - an order of events, not a secret
        storm.rage(minutes * 60)
        took = storm.drain()
        return storm.found(took), storm.wrong


# -- what dies ---------------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Program:
    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    began: float = 0.0

    def start(self) -> None:
        self.began = time.monotonic()
        self.process = spawn(self.command, cwd=ROOT, env=self.environment, log=self.log, on_orphaned=signal.SIGKILL)

    def pids(self) -> list[int]:
        return _tree(self.process.pid) if self.process is not None else []

    def signal(self, number: signal.Signals) -> None:
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGSTOP)  # so that none of them notices that another one died
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()


def _tree(pid: int) -> list[int]:
    try:
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [pid, *(each for child in children for each in _tree(child))]


@dataclass(slots=True)
class House:
    database: Postgres
    valkey: Valkey
    world: World
    port: int
    programs: dict[str, Program]
    token: str = ""
    boot_s: float = 0.0  # what a program takes on this machine until it is of use

    def grown_up(self, *names: str) -> list[str]:
        """Those that were of use already: who dies in its cradle shows nothing but how fast a machine starts programs."""
        return [name for name in names if time.monotonic() - self.programs[name].began > 1.5 * self.boot_s]

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.dsn("holdfast"), autocommit=True, connect_timeout=3) as connection:
            return connection.execute(query.encode(), values or None).fetchall()

    def answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/livez", timeout=5, verify=NO_TLS).status_code == 200
        return False


@contextlib.contextmanager
def _house() -> Iterator[House]:
    folder, account = temporary_folder("bench-chaos"), for_servers()
    settings = {"max_connections": "150", "checkpoint_timeout": "30s", "max_wal_size": "64MB"}
    database, outside = Postgres(folder / "postgres", account=account, settings=settings), Postgres(folder / "world", account=account)
    valkey = Valkey(folder / "valkey", account=account)
    programs: dict[str, Program] = {}
    try:
        for server in (database, outside, valkey):
            server.start()
        database.ensure_database("holdfast", owner=database.superuser)
        outside.ensure_database("world", owner=outside.superuser)
        port, world_port = free_port(), free_port()
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "DATABASE_"))} | {
            "DATABASE_URL": database.dsn("holdfast"),
            "BROKER_URL": valkey.broker_url(2),
            "CHANNELS_URL": valkey.url(1),
            "DJANGO_SETTINGS_MODULE": "tests.world.settings",
            "HOLDFAST_HOME": str(folder / "home"),
            "HOLDFAST_ORIGIN": f"http://127.0.0.1:{port}",
            "HOLDFAST_SECRET_KEY": secrets.token_urlsafe(48),
            "HOLDFAST_SEAL_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "WORLD_URL": f"http://127.0.0.1:{world_port}",
        }
        for name, command in _commands(port, world_port, outside.dsn("world")):
            programs[name] = Program(name, command, environment, folder / f"{name}.log")
        house = House(database, valkey, World(outside.dsn("world")), port, programs)
        house.world.create()
        os.environ.update(environment)
        house.token = _furnished()
        for program in programs.values():
            program.start()
        if not wait_until(house.answers, seconds=180, pause=0.2):
            raise SystemExit(f"The web server did not answer:\n{tail(programs['web'].log)}")
        house.boot_s = time.monotonic() - programs["web"].began
        yield house
    finally:
        for program in programs.values():
            program.kill()
        for server in (valkey, outside, database):
            server.stop()


def _commands(port: int, world_port: int, world: str) -> Iterator[tuple[str, list[str]]]:
    yield "world", [sys.executable, "-m", "tests.world.server", "--dsn", world, "--port", str(world_port)]
    server = ("-m", "granian", "--interface", "asginl", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--loop", "uvloop")
    yield "web", [sys.executable, *server, "--no-access-log", "config.asgi:application"]
    for name in ("worker-1", "worker-2"):
        pool = ("--pool", "prefork", "--concurrency", "2", "--without-gossip", "--without-mingle", "--loglevel", "WARNING")
        yield name, [sys.executable, "-m", "celery", "-A", "config.celery:app", "worker", *pool, "--hostname", f"{name}@%h"]
    for name in ("sweeper-1", "sweeper-2"):
        yield name, [sys.executable, "manage.py", "sweep", "--name", name]


def _furnished() -> str:
    """Tables, policy, playbooks and people; the token that detections are posted with."""
    import django

    django.setup()
    from django.core.management import call_command

    from accounts import tokens
    from accounts.models import Person
    from core.actor import SYSTEM
    from tests import cast
    from tests.world import house

    call_command("migrate", verbosity=0)
    house.furnish(timeout_s=5)
    cast.person("enzo")
    _, token = tokens.issue(
        name="edr", owner=Person.objects.get(username="enzo"), scopes=["detections.write"], source="edr-prod", actor=SYSTEM
    )
    return token


# -- what happens ------------------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Posted:
    subject: str
    effect: str
    acknowledged: float = 0.0


@dataclass(slots=True)
class Bereft:
    """A run whose worker died at `at`, holding it under `fence`."""

    run: UUID
    fence: int
    at: float
    taken: float = 0.0
    died: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(slots=True)
class Storm:
    house: House
    dice: random.Random
    posted: list[Posted] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    bereft: list[Bereft] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    undone: int = 0
    again: int = 0  # sent twice
    refused: int = 0  # requests without an answer, sent again
    over: threading.Event = field(default_factory=threading.Event)
    watched: threading.Event = field(default_factory=threading.Event)
    _outside: threading.Lock = field(default_factory=threading.Lock)

    def rage(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        threads = [threading.Thread(target=self._post, args=(random.Random(self.dice.random()),)) for _ in range(POSTERS)]  # noqa: S311
        threads += [threading.Thread(target=self._undo), threading.Thread(target=self._watch, daemon=True)]
        for thread in threads:
            thread.start()
        happens: Sequence[tuple[int, Callable[[], str]]] = (  # weight, event
            (4, lambda: self._one_of(self._kill, "worker-1", "worker-2")),
            (2, lambda: self._one_of(self._kill_child, "worker-1", "worker-2")),
            (2, lambda: self._one_of(self._kill, "sweeper-1", "sweeper-2")),
            (1, lambda: self._one_of(self._kill, "web")),
            (2, lambda: self._one_of(self._freeze, "worker-1", "worker-2")),
            (1, self._crash_database),
            (1, self._kill_valkey),
            (1, self._wipe_valkey),
            (1, lambda: self._one_of(self._kill, "world")),
        )
        while time.monotonic() < ends:
            event = self.dice.choices([one for _, one in happens], [weight for weight, _ in happens])[0]
            if what := event():
                self.events[what] += 1
            time.sleep(min(self.dice.uniform(*BETWEEN_S), max(0.0, ends - time.monotonic())))
        self.over.set()
        for thread in threads[:-1]:
            thread.join()

    def _one_of(self, event: Callable[[str], str], *names: str) -> str:
        there = self.house.grown_up(*names)
        return event(self.dice.choice(there)) if there else ""

    def _kill(self, name: str) -> str:
        program = self.house.programs[name]
        program.signal(signal.SIGSTOP)
        self._orphan(program.pids())
        program.kill()
        time.sleep(self.dice.uniform(0.1, 1.0))
        program.start()
        return f"{name.partition('-')[0]} killed"

    def _kill_child(self, name: str) -> str:
        """One of the processes that carry work out; its parent lives, and starts another."""
        pids = self.house.programs[name].pids()[1:]
        if not pids:
            return "worker's child killed"
        pid = self.dice.choice(pids)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self._orphan([pid])
            os.kill(pid, signal.SIGKILL)
        return "worker's child killed"

    def _freeze(self, name: str) -> str:
        program = self.house.programs[name]
        pids = program.pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

        def wake() -> None:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

        self._orphan(pids)
        threading.Timer(FROZEN_S, wake).start()
        return "worker frozen beyond its lease"

    def _crash_database(self) -> str:
        database = self.house.database
        assert database.process is not None  # noqa: S101 - started
        database.process.send_signal(signal.SIGQUIT)
        database.process.wait()
        time.sleep(self.dice.uniform(0.2, 2.0))
        database.restart()
        database.wait()
        return "PostgreSQL stopped at once"

    def _kill_valkey(self) -> str:
        self.house.valkey.kill()
        time.sleep(self.dice.uniform(0.2, 2.0))
        self.house.valkey.restart()
        self.house.valkey.wait()
        return "Valkey killed"

    def _wipe_valkey(self) -> str:
        import redis

        redis.Redis.from_url(self.house.valkey.url(0)).flushall()
        return "Valkey wiped"

    def _orphan(self, pids: Sequence[int]) -> None:
        """Which runs these processes hold, so that it can be seen when somebody else does."""
        owners = [f"{socket.gethostname()}:{pid}" for pid in pids]
        query = "SELECT id, fence FROM run WHERE lease_owner = ANY(%s) AND lease_until > clock_timestamp()"
        with contextlib.suppress(psycopg.Error):
            held = self.house.sql(query, owners)
            self.bereft += [Bereft(run, fence, time.monotonic()) for run, fence in held]

    def _watch(self) -> None:
        while not self.watched.is_set():
            waiting = [one for one in self.bereft if not one.taken]
            with contextlib.suppress(psycopg.Error):
                if waiting:
                    query = "SELECT id, fence FROM run WHERE id = ANY(%s)"
                    fences = dict(self.house.sql(query, [one.run for one in waiting]))
                    for one in waiting:
                        if fences.get(one.run, one.fence) > one.fence:
                            one.taken = time.monotonic()
            time.sleep(0.1)

    # -- who goes on meanwhile

    def _post(self, order: random.Random) -> None:
        from tests.world import house

        with httpx.Client(base_url=f"http://127.0.0.1:{self.house.port}", timeout=15) as client:
            while not self.over.is_set():
                effect = order.choice(list(MEASURES))
                posted = Posted(f"{effect}-{uuid7().hex[-12:]}", effect)
                self._trouble(order, posted)
                with self._outside:
                    self.posted.append(posted)
                    body = house.message(posted.subject, effect, external_id=posted.subject)
                self._until_acknowledged(client, posted, body)
                if order.random() < DUPLICATE:
                    self.again += 1
                    self._until_acknowledged(client, posted, body)
                self.over.wait(order.uniform(0, 2 * EACH_S))

    def _trouble(self, order: random.Random, posted: Posted) -> None:
        if order.random() > FAULTY:
            return
        kind, given = order.choice(FAULTS)
        measure = MEASURES[posted.effect]
        call = "look" if kind is Fault.STALE else order.choice(["look", "perform", "undo", "*"])
        if order.random() < SLOW:  # a call that takes its time is one in whose middle somebody can die
            self.house.world.order(Fault.LAG, posted.subject, measure, call=order.choice(["look", "perform"]), times=2, seconds=3)
        self.house.world.order(kind, posted.subject, measure, call=call, times=order.choice([1, 1, 2]), **given)
        if order.random() < 0.1:
            self.house.world.put(posted.subject, measure, CUT)

    def _until_acknowledged(self, client: httpx.Client, posted: Posted, body: Mapping[str, Any]) -> None:
        """As an integration does: again with the same id until somebody says that it was heard."""
        ends = time.monotonic() + 120
        while time.monotonic() < ends:
            with contextlib.suppress(httpx.HTTPError):
                answer = client.post("/api/v1/detections", json=body, headers={"Authorization": f"Bearer {self.house.token}"})
                if answer.status_code < 300:
                    posted.acknowledged = posted.acknowledged or time.monotonic()
                    return
                if answer.status_code < 500:
                    self.wrong.append(f"a detection was answered {answer.status_code}: {answer.text[:200]}")
                    return
            self.refused += 1
            time.sleep(0.3)
        self.wrong.append(f"{posted.subject} was never acknowledged")

    def _undo(self) -> None:
        """A person gives back some of what came to rest."""
        from django.db import DatabaseError, connection

        from containment import flow
        from core.refusals import Refusal
        from playbooks.models import Run
        from tests import cast

        seen: set[UUID] = set()
        while not self.over.wait(0.5):
            try:
                resting = Run.objects.filter(state__in=["contained", "partial", "failed"], undo_at__isnull=True)
                for key in list(resting.order_by("-created_at").values_list("pk", flat=True)[:50]):
                    if key not in seen and self.dice.random() < UNDONE:
                        flow.undo_run(key, actor=cast.person("mara"), reason="it was a drill")
                        self.undone += 1
                    seen.add(key)
            except Refusal:
                continue
            except DatabaseError:
                connection.close()

    # -- what is found

    def drain(self) -> float:
        """Nothing dies any more, and the world behaves: everything that is due is done. How long that took."""
        began = time.monotonic()
        time.sleep(0.1)
        self.house.world.calm_down()
        for name, program in self.house.programs.items():
            if program.process is None or program.process.poll() is not None:
                self.wrong.append(f"{name} ended by itself: {tail(program.log, 5)}")
                program.start()
        due = "SELECT (SELECT count(*) FROM detection WHERE state = 'received') + (SELECT count(*) FROM run WHERE state = ANY(%s))"
        if not wait_until(lambda: self.house.sql(due, list(UNFINISHED)) == [(0,)], seconds=DRAINED_S, pause=0.5):
            query = "SELECT id, state, because, next_at, lease_until FROM run WHERE state = ANY(%s) LIMIT 10"
            self.wrong += [f"stuck: {row}" for row in self.house.sql(query, list(UNFINISHED))]
            self.wrong += [
                f"undecided: {row}" for row in self.house.sql("SELECT id, next_at FROM detection WHERE state = 'received' LIMIT 10")
            ]
        self.watched.set()
        return time.monotonic() - began

    def found(self, drained_s: float) -> dict[str, str]:
        from django.db import connection

        connection.close()
        counts = self._compared()
        checked = self._verified()
        taken = [one.taken - one.at for one in self.bereft if one.taken]
        slow = [one for one in taken if one > TAKEN_OVER_WANTED_S]
        states = dict(self.house.sql("SELECT state, count(*) FROM run GROUP BY 1 ORDER BY 1"))
        executors = dict(self.house.sql("SELECT executor, count(*) FROM run_attempt WHERE kind = 'intent' GROUP BY 1 ORDER BY 1"))
        acknowledged = sum(1 for one in self.posted if one.acknowledged)
        for what in (
            "lost",
            "stuck",
            "doubled",
            "without an intent",
            "blind, twice",
            "blind, and nobody was told",
            "said so, and is not so",
        ):
            if counts[what]:
                self.wrong.append(f"{what}: {counts[what]}")
        self.wrong += self._doubled()
        for one in sorted((one for one in self.bereft if one.taken), key=lambda one: one.at - one.taken)[:SLOWEST]:
            print(self._waited(one))  # noqa: T201 - what to look into, not a result
        over = "–" if not taken else f"{percentile(taken, 0.5):.1f} s · **{percentile(taken, 0.99):.1f} s**, {len(slow)} over it"
        return {
            "a program is of use after · load": f"{self.house.boot_s:.0f} s · {os.getloadavg()[1]:.0f} on {os.cpu_count()} cores",
            "died, froze, was wiped": ", ".join(f"{count} × {what}" for what, count in sorted(self.events.items())),
            "faults of the world that were met": ", ".join(f"{count} × {kind}" for kind, count in self.house.world.met().items()),
            "detections acknowledged · sent again without an answer · sent twice": f"{acknowledged} · {self.refused} · {self.again}",
            "runs, as they ended": ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in states.items()),
            "undone by a person meanwhile": str(self.undone),
            "outside effects in the world's ledger": str(counts["effects"]),
            "steps begun by": ", ".join(f"{count} {who}" for who, count in executors.items()),
            "**lost** (acknowledged, and not stored and decided)": f"**{counts['lost']}**",
            "**stuck** (unfinished, and neither due nor somebody's)": f"**{counts['stuck']}**",
            "**doubled** (keyed, natural, observable)": f"**{counts['doubled']}**",
            "**effects without a committed intent**": f"**{counts['without an intent']}**",
            "**blind effects: twice · in doubt and nobody was told** · in doubt, with a person": (
                f"**{counts['blind, twice']} · {counts['blind, and nobody was told']}** · {counts['blind, told']}"
            ),
            "**contained or undone by word alone**": f"**{counts['said so, and is not so']}**",
            "the trail · what must always be true": checked,
            f"a held run taken over after its worker's end, p50 · p99 (of {len(taken)}; wanted: ≤ {TAKEN_OVER_WANTED_S:g} s)": over,
            "nothing left to do after the last death": f"{drained_s:.0f} s",
        }

    def _compared(self) -> Counter[str]:
        """The ledger beside the rows."""
        from playbooks.models import Attempt, Run, Step

        counts: Counter[str] = Counter()
        known = dict(
            self.house.sql("SELECT d.external_id, d.state FROM detection d WHERE EXISTS (SELECT FROM decision WHERE detection_id = d.id)")
        )
        counts["lost"] = sum(1 for one in self.posted if one.acknowledged and one.subject not in known)
        counts["stuck"] = Run.objects.filter(state__in=UNFINISHED).count()
        ledger = self.house.world.done()
        counts["effects"] = len(ledger)
        times = Counter((done.measure, done.did, done.key) for done in ledger)
        counts["doubled"] = sum(1 for (measure, _, _), n in times.items() if n > 1 and measure != MEASURES["blind"])
        counts["blind, twice"] = sum(1 for (measure, _, _), n in times.items() if n > 1 and measure == MEASURES["blind"])
        intents: dict[tuple[str, str], Any] = {}
        journal = Attempt.objects.filter(kind="intent").order_by("-id")
        for key, direction, at in journal.values_list("step__key", "direction", "at"):
            intents[str(key), CUT if direction == "forward" else "restored"] = at  # the first one stays
        for done in ledger:
            first = intents.get((done.key, done.did))
            counts["without an intent"] += first is None or first > done.at
        for step in Step.objects.filter(effect="blind", was__isnull=False).select_related("run").prefetch_related("journal"):
            if _in_doubt(step):
                counts["blind, told" if step.run.state in {"needs_human", "accepted"} else "blind, and nobody was told"] += 1
        for run in Run.objects.filter(state__in=["contained", "undone"]).prefetch_related("steps"):
            for step in self._otherwise(run):
                counts["said so, and is not so"] += 1
                self.wrong.append(f"{run.state} {run.created_at:%T} {run.because!r}: {self._history(step)}")
        return counts

    def _doubled(self) -> list[str]:
        """What happened more than once, with all that was written about it."""
        from playbooks.models import Step

        times = Counter((done.did, done.key) for done in self.house.world.done())
        return [f"{did} {n} times: {self._history(Step.objects.get(key=key))}" for (did, key), n in times.items() if n > 1]

    def _waited(self, one: Bereft) -> str:
        """What was written about a run between the end of its worker and the next one."""
        journal = self.house.sql(
            "SELECT a.at, s.seq, a.fence, a.worker, a.executor, a.direction, a.kind, a.outcome, a.said FROM run_attempt a"
            " JOIN run_step s ON s.id = a.step_id WHERE s.run_id = %s ORDER BY a.id",
            one.run,
        )
        rows = "\n  ".join(" ".join(map(str, row)) for row in journal)
        return f"{one.taken - one.at:.0f} s after {one.died:%T} run {one.run} went on from fence {one.fence}\n  {rows}"

    def _otherwise(self, run: Run) -> Iterator[Step]:
        """The steps whose target is not as the run says."""
        for step in run.steps.all():
            if step.disruptive and step.effect != "blind" and step.was is not None:
                there = self.house.world.state(run.target["subject"], step.measure)
                if there != (CUT if run.state == "contained" else step.was["public"]["state"]):
                    yield step

    def _history(self, step: Step) -> str:
        """All that was written about a step, by the world and by us."""
        subject = step.run.target["subject"]
        rows = [f"{one.at:%T.%f} ledger: {one.measure} {one.did} {one.key}" for one in self.house.world.done(subject)]
        faults = [f"ordered: {row}" for row in self.house.world.ordered(subject)]
        journal = [
            f"{one.at:%T.%f} {one.fence} {one.worker} {one.direction} {one.kind} {one.outcome} {one.said}"
            for one in step.journal.order_by("id")
        ]
        there = self.house.world.state(subject, step.measure)
        said = f"{subject}, step {step.seq} {step.measure} {step.state}, was {step.was}, there {there}"
        return "\n  ".join([said, *sorted([*rows, *journal]), *faults])

    def _verified(self) -> str:
        from containment import invariants

        environment = dict(self.house.programs["web"].environment)
        checked = subprocess.run([sys.executable, "manage.py", "verify_audit"], cwd=ROOT, env=environment, capture_output=True, text=True)
        if checked.returncode:
            self.wrong.append(checked.stdout + checked.stderr)
        broken = invariants.broken()
        self.wrong += [f"{name}: {rows}" for name, rows in broken.items()]
        return f"{checked.stdout.partition(',')[0]} · {len(broken)} of {len(invariants.INVARIANTS)} broken"


def _in_doubt(step: Step) -> bool:
    """Whether the last attempt may have happened, and nobody knows."""
    last = step.journal.order_by("-id").first()
    return last is not None and (last.kind == "intent" or last.outcome in {"ambiguous", "unexpected", "blind"})
