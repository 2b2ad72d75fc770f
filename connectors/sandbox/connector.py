"""The smallest honest connector: four measures, one of each effect class, on the sandbox target.

Copy this folder for a new connector: declare each ability, answer look from the target's own record, and let undo touch only what is
still ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql

from connectors.base import (
    Ability,
    Ambiguous,
    Artefact,
    Busy,
    Effect,
    EffectClass,
    Foreign,
    LockedOut,
    Measure,
    OnAmbiguous,
    Proof,
    ProofLevel,
    Ready,
    Rejected,
    State,
    Step,
    Unavailable,
)
from connectors.sandbox.target import CUT, OPEN, Mood, ReadOnlyTarget, SandboxTarget

LOCKED_OUT = "The sandbox does not accept our own credential."
BEFORE = (Mood.FAILS_BEFORE, Mood.BUSY, Mood.VANISHES, Mood.LOCKS_US_OUT)
AFTER = (Mood.FAILS_AFTER, Mood.TIMES_OUT, Mood.GARBLES)


def _ability(effect: EffectClass, *, ask: bool = False, disruptive: bool = True) -> Ability:
    return Ability(
        effect=effect,
        on_ambiguous=OnAmbiguous.ASK if ask else OnAmbiguous.LOOK,
        inverse="the state before",
        residual=timedelta(0),
        probe="the target's own record",
        disruptive=disruptive,
        settle=timedelta(seconds=3),
    )


class SandboxConnector:
    """Configured with `dsn`; `aliases`: subject -> everybody whom a call about it hits as well, `administrators`: who can repair it."""

    name = "sandbox"
    abilities: Mapping[Measure, Ability] = {
        Measure.EVIDENCE_PRESERVE: _ability(EffectClass.NATURAL, disruptive=False),
        Measure.SESSION_PAUSE: _ability(EffectClass.KEYED),
        Measure.WORKLOAD_ISOLATE: _ability(EffectClass.NATURAL),
        Measure.SESSION_TERMINATE: _ability(EffectClass.OBSERVABLE),
        Measure.IDENTITY_DISABLE: _ability(EffectClass.BLIND, ask=True),
    }

    _aliases: Mapping[str, Sequence[str]] = {}
    _administrators: Sequence[str] = ()

    def __init__(self, *, dsn: str, aliases: Mapping[str, Sequence[str]] | None = None, administrators: Sequence[str] = ()) -> None:
        self.target = SandboxTarget(dsn)
        self._aliases, self._administrators = aliases or {}, administrators

    def looker(self) -> SandboxConnector:
        return _Looker(self.target)

    def whoami(self) -> Sequence[str]:
        return ["sandbox-admin"]

    def administrators(self) -> Sequence[str]:
        return self._administrators

    def resolves(self, step: Step) -> Sequence[str]:
        return [step.target.subject, *self._aliases.get(step.target.subject, ())]

    def preflight(self, step: Step) -> Ready:
        return Ready(can=True)

    def look(self, step: Step) -> State:
        subject, measure = step.target.subject, str(step.measure)
        mood = self.target.mood(subject, Mood.HIDES, Mood.LOCKS_US_OUT, Mood.VANISHES, Mood.LAGS, Mood.TRAILS, Mood.WRONG_ACCOUNT)
        if mood is Mood.HIDES:
            raise Unavailable("The sandbox does not answer.")
        if mood is Mood.LOCKS_US_OUT:
            raise LockedOut(LOCKED_OUT)
        _find(mood, subject)
        try:
            with self.target.connected(step.deadline_s) as connection:
                state = self.target.state(connection, subject, measure)
                if mood is Mood.LAGS or (mood is Mood.TRAILS and self.target.trails(connection, subject, measure)):
                    state = OPEN
        except psycopg.OperationalError as error:
            raise Unavailable("The sandbox does not answer.") from error
        account = "elsewhere" if mood is Mood.WRONG_ACCOUNT else "sandbox"
        return State(contained=state == CUT and not self._is_blind(step), public={"state": state}, live_sessions=0, account=account)

    def perform(self, step: Step, *, key: str, was: State) -> Effect:
        subject = step.target.subject
        mood = self.target.mood(subject, *BEFORE, *AFTER, Mood.PERMISSION_LOST, Mood.SABOTAGES, Mood.BEATEN)
        self._before(mood, subject)
        if mood is Mood.PERMISSION_LOST:
            raise Rejected("The sandbox no longer lets us.")
        if mood is Mood.SABOTAGES:
            return Effect(changed=True, said="OK")
        try:
            with self.target.connected(step.deadline_s) as connection:
                if mood is Mood.BEATEN:
                    self.target.put(connection, subject, str(step.measure), CUT)
                changed = self.target.put(connection, subject, str(step.measure), CUT)
                if changed or step.measure in {Measure.SESSION_TERMINATE, Measure.IDENTITY_DISABLE}:
                    self.target.write(connection, subject, str(step.measure), CUT, key)
        except psycopg.OperationalError as error:
            raise Ambiguous("The sandbox went away in the middle.") from error
        _after(mood)
        return Effect(changed=changed, said="cut")

    def probe(self, step: Step, *, key: str, was: State) -> Proof:
        if self._is_blind(step):
            return Proof(dead=True, level=ProofLevel.ACKNOWLEDGED, said="the sandbox said OK; nothing else shows it")
        dead = self.look(step).contained
        lives_on = datetime.now(UTC) + timedelta(minutes=1) if self.target.mood(step.target.subject, Mood.LINGERS) else None
        said = "its record says cut" if dead else "its record says open"
        return Proof(dead=dead, level=ProofLevel.INTROSPECTED, said=said, residual_until=lives_on)

    def undo(self, step: Step, *, key: str, was: State) -> Effect:
        subject, measure, before = step.target.subject, str(step.measure), str(was.public["state"])
        mood = self.target.mood(subject, *BEFORE, *AFTER)
        self._before(mood, subject)
        try:
            with self.target.connected(step.deadline_s) as connection:
                now = self.target.state(connection, subject, measure)
                if now not in (CUT, before):
                    raise Foreign("Somebody changed it since.", diff={"before": before, "ours": CUT, "now": now})
                changed = self.target.put(connection, subject, measure, before)
                if changed:
                    self.target.write(connection, subject, measure, "restored", key)
        except psycopg.OperationalError as error:
            raise Unavailable("The sandbox does not answer.") from error
        _after(mood)
        return Effect(changed=changed, said=f"back to {before}")

    def collect(self, step: Step) -> Sequence[Artefact]:
        state = self.look(step).public["state"]
        return [Artefact(name="state.txt", media_type="text/plain", content=f"{step.target.subject} is {state}\n".encode())]

    def manual(self, step: Step, was: State) -> Sequence[str]:
        where = sql.SQL("WHERE subject = {} AND measure = {};").format(sql.Literal(step.target.subject), sql.Literal(str(step.measure)))
        set_to = sql.SQL("UPDATE sandbox_subject SET state = {} ").format(sql.Literal(was.public["state"]))
        return [(set_to + where).as_string(None)]

    def _before(self, mood: Mood | None, subject: str) -> None:
        if mood is Mood.FAILS_BEFORE:
            raise Unavailable("The sandbox answered 500.")
        if mood is Mood.LOCKS_US_OUT:
            raise LockedOut(LOCKED_OUT)
        if mood is Mood.BUSY:
            raise Busy("The sandbox answered 429.", retry_after=self.target.seconds(subject))
        _find(mood, subject)

    def _is_blind(self, step: Step) -> bool:
        return self.abilities[step.measure].effect is EffectClass.BLIND


def _find(mood: Mood | None, subject: str) -> None:
    if mood is Mood.VANISHES:
        raise Rejected(f"There is no {subject} here any more.")


def _after(mood: Mood | None) -> None:
    if mood is Mood.GARBLES:
        raise Ambiguous("The sandbox's answer cannot be read.")
    if mood in AFTER:
        raise Ambiguous("The sandbox did not say whether it did it.")


class _Looker(SandboxConnector):
    """On a connection that the target's own database lets nothing write through."""

    def __init__(self, target: SandboxTarget) -> None:
        self.target = ReadOnlyTarget(target.dsn)

    def perform(self, step: Step, *, key: str, was: State) -> Effect:
        raise Rejected("These credentials may only look, so nothing was tried.")

    def undo(self, step: Step, *, key: str, was: State) -> Effect:
        raise Rejected("These credentials may only look, so nothing was tried.")
