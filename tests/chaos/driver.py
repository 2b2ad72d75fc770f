"""Loads the product once and lets forked processes die: python -m tests.chaos.driver, one JSON request per line, one answer per line.

{"survey": [[scene, effect] …]}: which places each of them comes by. {"cases": [[place, what, nth, scene, effect] …]}: all of them side by
side; what is wrong afterwards. {"everywhere": true}: the trail, and what must always be true. The one that takes over is this process; a
lease passes as soon as its owner cannot act any more.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from embedded.process import PR_SET_PDEATHSIG
from tests.chaos.scenes import SCENES, Played, Scene
from tests.world.target import BLIND, CUT, MEASURES, OPEN, World

ENDED, CAME_THERE = 3, 7
PATIENCE_S = 40.0
UNDECIDED = "came from no decision"  # most scenes begin with a run, not with a detection


@dataclass(slots=True)
class Case:
    place: str
    what: str
    nth: int
    scene: Scene
    effect: str
    played: Played | None = None
    pid: int = 0
    fate: str = ""
    wrong: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        said = {"place": self.place, "what": self.what, "nth": self.nth, "scene": self.scene.name, "effect": self.effect}
        return said | {"direction": self.scene.direction, "fate": self.fate, "wrong": self.wrong}


def main() -> None:
    import django

    django.setup()
    from containment.models import Source

    _hurry()
    world = World(os.environ["WORLD_DSN"])
    if not Source.objects.exists():
        from tests.world import house

        house.furnish(timeout_s=2)
    for line in sys.stdin:
        asked = json.loads(line)
        if "survey" in asked:
            answer: Any = survey(world, asked["survey"])
        elif "everywhere" in asked:
            answer = _everywhere()
        else:
            answer = run([Case(place, what, nth, SCENES[scene], effect) for place, what, nth, scene, effect in asked["cases"]], world)
        print(json.dumps(answer), flush=True)  # noqa: T201 - read by who started it


def _hurry() -> None:
    """Pauses between attempts, which nothing here is about, are short."""
    from playbooks import engine, steps
    from playbooks.domain import backward, troubles

    hurried: list[tuple[Any, str, Any]] = [
        (troubles, "BACKOFF_S", (1.5,) * len(troubles.BACKOFF_S)),
        (backward, "PAUSES_S", (1.5,) * len(backward.PAUSES_S)),
        (steps, "PROBE_EVERY_S", (0.05,) * len(steps.PROBE_EVERY_S)),
        (engine, "RENEW_EVERY_S", 0.2),
    ]
    for module, name, value in hurried:
        setattr(module, name, value)


# -- who dies ----------------------------------------------------------------------------------------------------------------------------


def survey(world: World, scenes: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """What each scene comes by when nobody dies, and what all stories are called."""
    from audit.record import STORIES

    found = []
    playing = [(scene, effect, SCENES[scene].prepare(world, effect)) for scene, effect in scenes]
    for scene, effect, played in playing:
        reads, writes = os.pipe()
        pid = _forked(lambda played=played, scene=scene, writes=writes: _surveyed(SCENES[scene], played, writes))  # type: ignore[misc]
        os.close(writes)
        found.append((scene, effect, reads, pid))
    told = []
    for scene, effect, reads, pid in found:
        with os.fdopen(reads) as pipe:
            told.append({"scene": scene, "effect": effect, "seen": json.loads(pipe.read() or "{}"), "stories": sorted(STORIES)})
        os.waitpid(pid, 0)
    return told


def _surveyed(scene: Scene, played: Played, writes: int) -> int:
    from core import crashpoints

    seen = crashpoints.watch()
    scene.victim(played)
    os.write(writes, json.dumps(seen).encode())
    return ENDED


def _forked(work: Callable[[], int]) -> int:
    """A process with no connection of ours that does `work` and is gone."""
    from django.db import connections

    connections.close_all()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)  # frozen or not, it does not outlive who forked it
    try:
        code = work()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(code)


def _hold_no_lock_for_long() -> None:
    """The database ends a transaction that sleeps: after a quarter of a minute in service, at once here."""
    from django.db import connections

    connections["default"].settings_dict["OPTIONS"]["options"] += " -c idle_in_transaction_session_timeout=1000"


def _victim(case: Case) -> int:
    from core import crashpoints

    assert case.played is not None
    if case.what == "freeze":  # wherever it stops, its other thread may just be renewing the lease
        _hold_no_lock_for_long()
    seen = crashpoints.watch()
    crashpoints.order(f"{case.place}:{case.what}:{case.nth}")
    with contextlib.suppress(crashpoints.Crashed):
        case.scene.victim(case.played)
    return CAME_THERE if seen[case.place] >= case.nth else ENDED


# -- what follows ------------------------------------------------------------------------------------------------------------------------


def run(cases: list[Case], world: World) -> list[dict[str, Any]]:
    for case in cases:
        case.played = case.scene.prepare(world, case.effect)
    for case in cases:
        case.pid = _forked(lambda case=case: _victim(case))  # type: ignore[misc]
    stopped = _met_their_fate(cases)
    _leases_pass(cases)
    _taken_over(cases)
    for case in stopped:
        os.kill(case.pid, signal.SIGCONT)
    _gone(stopped)
    _leases_pass(cases)
    _taken_over(cases)
    for case in cases:
        case.wrong += judge(case, world)
    return [case.told() for case in cases]


def _met_their_fate(cases: list[Case]) -> list[Case]:
    """Who is frozen now; everybody else is gone."""
    waiting, ends = list(cases), time.monotonic() + PATIENCE_S
    while waiting and time.monotonic() < ends:
        for case in list(waiting):
            pid, status = os.waitpid(case.pid, os.WNOHANG | os.WUNTRACED)
            if pid:
                case.fate = _fate(status)
                waiting.remove(case)
        time.sleep(0.005)
    for case in waiting:
        case.fate = "never ended"
        os.kill(case.pid, signal.SIGKILL)
        os.waitpid(case.pid, 0)
    return [case for case in cases if case.fate == "frozen"]


def _fate(status: int) -> str:
    if os.WIFSTOPPED(status):
        return "frozen"
    if os.WIFSIGNALED(status):
        return "killed"
    return {CAME_THERE: "raised", ENDED: "never came there"}.get(os.WEXITSTATUS(status), "broke")


def _gone(stopped: list[Case]) -> None:
    """What wakes up late finds that its time has passed, and ends like everybody else."""
    for case in stopped:
        ends = time.monotonic() + PATIENCE_S
        while os.waitpid(case.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > ends:
                case.wrong.append("what woke up never ended")
                os.kill(case.pid, signal.SIGKILL)
            time.sleep(0.005)


def _leases_pass(cases: list[Case]) -> None:
    from django.db import OperationalError
    from django.db.models.functions import Now

    from playbooks.models import Run

    subjects = [case.played.subject for case in cases if case.played]
    keys = Run.objects.filter(target__subject__in=subjects, lease_until__isnull=False).values_list("pk", flat=True)
    for key in list(keys):
        with contextlib.suppress(OperationalError):  # who holds the row is asleep: the database will end that, and its lease will pass
            Run.objects.filter(pk=key, lease_until__isnull=False).update(lease_until=Now())


def _taken_over(cases: list[Case]) -> None:
    for case in cases:
        assert case.played is not None
        try:
            case.scene.victim(case.played)
        except Exception as error:
            case.wrong.append(f"nobody could take over: {type(error).__name__}: {error}")


# -- what must be true -------------------------------------------------------------------------------------------------------------------


def judge(case: Case, world: World) -> list[str]:
    """The world's ledger beside the rows."""
    from playbooks.models import Attempt, Run

    assert case.played is not None
    subject, wrong = case.played.subject, []
    expected = {"kill": "killed", "freeze": "frozen", "raise": "raised"}[case.what]
    if case.fate != expected:
        wrong.append(f"it {case.fate}, and was to be {expected}")
    runs = list(Run.objects.filter(target__subject=subject))
    if len(runs) != 1:
        return [*wrong, f"{len(runs)} runs"]
    run = runs[0]
    journal = list(Attempt.objects.filter(step__run=run).select_related("step").order_by("id"))
    seen: dict[tuple[str, str, str], int] = {}
    for done in world.done(subject):
        seen[done.measure, done.did, done.key] = seen.get((done.measure, done.did, done.key), 0) + 1
        direction = "forward" if done.did == CUT else "undo"
        intents = [one for one in journal if str(one.step.key) == done.key and (one.kind, one.direction) == ("intent", direction)]
        if not any(one.at <= done.at for one in intents):
            wrong.append(f"{done.measure} was {done.did} without a committed intent")
    wrong += [f"{measure} was {did} {count} times" for (measure, did, _), count in seen.items() if count > 1]
    blind = MEASURES[case.effect] == BLIND
    ends = (*case.scene.ends, "needs_human") if blind or case.scene.name == "struck out" else case.scene.ends
    if run.state not in ends or run.next_at is not None:
        wrong.append(f"the run is {run.state} ({run.because}), next at {run.next_at}")
    if blind:
        wrong += _unflagged(run, journal)
    elif run.state in {"contained", "undone"}:
        there = world.state(subject, case.played.measure)
        before = CUT if case.scene.name == "was so before" else OPEN
        if there != (CUT if run.state == "contained" else before):
            wrong.append(f"the run is {run.state}, and the world says {there}")
    return wrong


def _unflagged(run: Any, journal: list[Any]) -> list[str]:
    """A blind attempt of which nobody knows how it ended, and no person who was told. (Before it was looked at, nothing was sent.)"""
    last = next((one for one in reversed(journal) if one.step.effect == "blind"), None)
    if last is not None and last.kind == "intent" and last.step.was is not None and run.state != "needs_human":
        return [f"nobody knows how {last.direction} ended, and the run is {run.state}"]
    return []


def _everywhere() -> list[str]:
    """The chain, and everything that must always be true."""
    from audit import chain
    from audit.models import AuditEntry, AuditHead

    head = AuditHead.objects.get(chain="main")
    found = chain.first_break(AuditEntry.objects.order_by("seq").iterator(chunk_size=5000), head=head)
    wrong = [f"entry {found.seq} of the trail: {found.why}"] if found else []
    try:
        from containment import invariants
    except ImportError:
        return wrong
    broken = {name: [row for row in rows if UNDECIDED not in row] for name, rows in invariants.broken().items()}
    return wrong + [f"{name}: {rows}" for name, rows in broken.items() if rows]


if __name__ == "__main__":
    main()
