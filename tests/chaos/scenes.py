"""The stories that processes die in: what is there before (prepared by one who lives), and what the victim does.

Each ends by itself when nobody dies, and says what is to be true then.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from core.ids import uuid7
from tests.world import house
from tests.world.target import CUT, KEYED, MEASURES, NATURAL, OPEN, Fault, World

NAP_S = 0.03


@dataclass(slots=True)
class Played:
    """One subject under one run. `message`: what was posted, where something was. `hold`: who waits for an answer."""

    effect: str
    subject: str
    run: UUID | None = None
    message: dict[str, Any] | None = None

    @property
    def measure(self) -> str:
        return MEASURES[self.effect]


@dataclass(frozen=True, slots=True)
class Scene:
    """`victim` is what the one who may die does, and what another does after it, again and again until nothing is left to do. `ends`: the
    states a run may come to rest in; a blind step whose worker died waits for a person besides."""

    name: str
    direction: str
    prepare: Callable[[World, str], Played]
    victim: Callable[[Played], None]
    ends: Sequence[str]
    effects: Sequence[str] = tuple(MEASURES)


def forward(
    *, fault: Fault | None = None, call: str = "*", times: int = 1, more: Sequence[str] = (), crashes: int = 0, on_failure: str = "stop"
) -> Any:
    def prepare(world: World, effect: str) -> Played:
        played = Played(effect, f"{effect}-{uuid7().hex[-12:]}")
        started(played, *more, on_failure=on_failure)
        if fault is not None:
            world.order(fault, played.subject, played.measure, call=call, times=times, seconds=0.5)
        if crashes:
            from playbooks.models import Run

            Run.objects.filter(target__subject=played.subject).update(crash_count=crashes)
        return played

    return prepare


def unheard(world: World, effect: str) -> Played:
    """Done, but the answer is lost, and the world shows it only later."""
    played: Played = forward(fault=Fault.HANGS_UP, call="perform")(world, effect)
    world.order(Fault.STALE, played.subject, played.measure, call="look", times=2)
    return played


def done(*, fault: Fault | None = None, call: str = "undo", before: str = OPEN) -> Any:
    """A run that came to rest, and a person who wants it undone."""

    def prepare(world: World, effect: str) -> Played:
        played = Played(effect, f"{effect}-{uuid7().hex[-12:]}")
        if before != OPEN:
            world.put(played.subject, played.measure, before)
        started(played)
        go_on(played)
        undo(played)
        if fault is not None:
            world.order(fault, played.subject, played.measure, call=call)
        return played

    return prepare


def hurried(world: World, effect: str) -> Played:
    """Evidence that cannot be had within the time that the cut waits for it."""
    played = Played(effect, f"{effect}-{uuid7().hex[-12:]}")
    started(played, terms={"evidence_s": 0.2})
    world.order(Fault.BEFORE, played.subject, "evidence.preserve", times=20)
    return played


def coming_back(world: World, effect: str) -> Played:
    """Undone by way of a level: something milder is cut before what is cut comes back."""
    played = Played(effect, f"{effect}-{uuid7().hex[-12:]}")
    started(played, level=KEYED if effect != "keyed" else NATURAL)
    go_on(played)
    undo(played)
    return played


def asked_for_patience(world: World, effect: str) -> Played:
    """It takes a while until the cut shows, and who looks is then told to come again in a moment."""
    played: Played = forward(fault=Fault.STALE, call="look", times=3)(world, effect)
    world.order(Fault.BUSY, played.subject, played.measure, call="look", after="1")
    return played


def half(world: World, effect: str) -> Played:
    """Undone before anything began: too many workers had died on it."""
    played: Played = forward(crashes=3)(world, effect)
    go_on(played)
    undo(played)
    return played


def reported(*, stored: bool) -> Any:
    def prepare(world: World, effect: str) -> Played:
        from containment import intake
        from sources import native
        from tests import cast

        subject = f"{effect}-{uuid7().hex[-12:]}"
        house.known(subject, effect)
        played = Played(effect, subject, message=house.message(subject, effect, external_id=subject))
        if stored:
            assert played.message is not None
            intake.receive(native.read(played.message), played.message, actor=cast.detector())
        return played

    return prepare


def rested(world: World, effect: str) -> Played:
    """Posted, contained, and nothing left to do."""
    played: Played = reported(stored=True)(world, effect)
    decided(played)
    go_on(played)
    return played


# -- what victims do ---------------------------------------------------------------------------------------------------------------------


def go_on(played: Played, *, seconds: float = 20) -> None:
    """As sweepers would, until nothing is due any more."""
    from playbooks import engine
    from playbooks.models import Run

    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if played.run is None and (found := Run.objects.filter(target__subject=played.subject).first()) is not None:
            played.run = found.pk
        if played.run is None:
            return
        engine.drive(played.run, executor="command")
        if Run.objects.get(pk=played.run).next_at is None:
            return
        time.sleep(NAP_S)


def told(played: Played) -> None:
    """Post it, as a sender does: again if nobody said that it was heard."""
    from containment import flow, intake
    from sources import native
    from tests import cast

    assert played.message is not None
    message, reading, actor = played.message, native.read(played.message), cast.detector()
    flow.take_in(lambda: intake.receive(reading, message, actor=actor))
    decided(played)


def decided(played: Played) -> None:
    """As a sweeper does with what is stored and due."""
    from containment import flow
    from containment.models import Detection

    for key in Detection.objects.filter(identity__subject=played.subject, state="received").values_list("pk", flat=True):
        flow.decide_due(key)


def told_and_carried_out(played: Played) -> None:
    told(played)
    go_on(played)


def decided_and_carried_out(played: Played) -> None:
    decided(played)
    go_on(played)


def harmful(played: Played) -> None:
    """As it goes on, its playbook turns out to be harmful: after an intent, and before its call."""
    from playbooks.models import Attempt, PlaybookVersion, Run

    run = Run.objects.get(target__subject=played.subject)
    _meanwhile(
        played,
        lambda: Attempt.objects.filter(step__run=run, step__disruptive=True).exists(),
        lambda: PlaybookVersion.objects.filter(pk=run.playbook_id).update(state="revoked"),
    )


def lifted(played: Played) -> None:
    """Once a level stands, the world no longer lets us see whether it still does."""
    from playbooks.models import Step

    level = Step.objects.filter(run__target__subject=played.subject, stage="return-1")
    world, measure = World(os.environ["WORLD_DSN"]), KEYED if played.effect != "keyed" else NATURAL
    _meanwhile(
        played,
        level.filter(state__in=["done", "verifying"]).exists,
        lambda: world.order(Fault.NO_PERMISSION, played.subject, measure, call="look", times=5),
    )


def _meanwhile(played: Played, when: Callable[[], bool], do: Callable[[], object]) -> None:
    """Go on, while somebody else waits for a moment."""
    over = threading.Event()

    def watch() -> None:
        from django.db import connection

        while not over.is_set() and not when():
            time.sleep(0.005)
        if not over.is_set():
            do()
        connection.close()

    somebody = threading.Thread(target=watch, daemon=True)
    somebody.start()
    go_on(played)
    over.set()
    somebody.join(15)


def undone(played: Played) -> None:
    """A person asks for it, again if the page did not come back."""
    from playbooks.models import Run

    if not Run.objects.filter(target__subject=played.subject, undo_at__isnull=False).exists():
        undo(played)
    go_on(played)


def undo(played: Played) -> None:
    from containment import flow
    from tests import cast

    assert played.run is not None
    flow.undo_run(played.run, actor=cast.person("mara"), reason="it was a drill")


def started(played: Played, *more: str, on_failure: str = "stop", terms: dict[str, Any] | None = None, level: str = "") -> None:
    """`level`: what is cut on the way back, before the rest is given back."""
    from audit.record import telling
    from core.actor import SYSTEM
    from core.refs import Ref
    from playbooks import library, runs
    from playbooks.domain.document import parse
    from playbooks.domain.plan import plan_digest, render

    kind = "service_account"  # it bears every measure
    measures = [played.measure, *(measure for measure in (*more, level) if measure not in {"", played.measure})]
    text = house.playbook(f"p-{played.subject}", kind, *measures, timeout_s=2, on_failure=on_failure)
    target = {"provider": "world", "kind": kind, "subject": played.subject, "identity": str(uuid7()), "facts": {}}
    with telling():
        version = library._draft(text, actor=SYSTEM, author_id=None, shipped=True)
        version.state, version.in_force_at = "superseded", version.drafted_at  # it was, so that no other detection gets it
        version.save(update_fields=["state", "in_force_at"])
        plan = render(parse(text), target, library.ability_of)
        if level:
            steps = [plan["hard"].pop(), plan["soft"].pop()][:1]
            terms = {"reinstatement": [{"steps": steps, "watch_s": 0}]}
        run = runs.start(
            version,
            identity=Ref.to("identity", uuid7()),
            case=Ref.to("case", uuid7()),
            decision=Ref.to("decision", uuid7()),
            target=target,
            plan=plan,
            plan_digest=plan_digest(plan, target),
            stage="soft",
            terms=terms,
        )
    played.run = run.pk


STANDS = ("contained", "partial")
SCENES = {
    scene.name: scene
    for scene in (
        Scene("plain", "forward", forward(), go_on, STANDS),
        Scene("shown late", "forward", forward(fault=Fault.STALE, call="look", times=3), go_on, STANDS, ("keyed", "natural", "observable")),
        Scene("asked for patience", "forward", asked_for_patience, go_on, STANDS, ("keyed", "natural", "observable")),
        Scene("unheard", "forward", unheard, go_on, STANDS, ("observable",)),
        Scene("refused once", "forward", forward(fault=Fault.BEFORE, call="look"), go_on, STANDS),
        Scene("slow", "forward", forward(fault=Fault.LAG, call="perform"), go_on, STANDS),
        Scene("rejected", "forward", forward(fault=Fault.NO_PERMISSION, call="perform", more=(NATURAL, KEYED)), go_on, ("failed",)),
        Scene("struck out", "forward", forward(crashes=3), go_on, ("needs_human",)),
        Scene("too late for evidence", "forward", hurried, go_on, STANDS),
        Scene("harmful", "forward", forward(fault=Fault.LAG, call="look"), harmful, ("needs_human", *STANDS)),
        Scene("in levels", "undo", coming_back, go_on, ("undone",), ("keyed", "natural", "observable")),
        Scene("in levels that do not hold", "undo", coming_back, lifted, STANDS, ("keyed", "natural", "observable")),
        Scene("undone", "undo", done(), go_on, ("undone",)),
        Scene("undo refused once", "undo", done(fault=Fault.BUSY), go_on, ("undone",)),
        Scene("undo shown late", "undo", done(fault=Fault.STALE, call="look"), go_on, ("undone",), ("keyed", "natural", "observable")),
        Scene("was so before", "undo", done(before=CUT), go_on, ("undone",), ("keyed", "natural", "observable")),
        Scene("undone at once", "undo", half, go_on, ("undone",)),
        Scene("reported", "story", reported(stored=False), told_and_carried_out, STANDS),
        Scene("decided later", "story", reported(stored=True), decided_and_carried_out, STANDS),
        Scene("a person undoes", "story", rested, undone, ("undone",)),
    )
}
