"""Pauses, restricts, ends and locks out PostgreSQL roles, and puts back exactly what was.

Every measure is a Cut (cuts.py); here is the one way in which cuts are looked at, made, proven and undone. A change is one transaction
under our advisory lock; sessions are cancelled and ended after it is committed, so that none slips in between.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from connectors.base import (
    IRREVERSIBLE,
    Ability,
    Ambiguous,
    Artefact,
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
from connectors.postgres import byhand, cuts, evidence, grants, handover, passwords, roles, sessions, snapshot
from connectors.postgres.checkpoints import Checkpoint, Checkpoints
from connectors.postgres.client import NOT_PERMITTED, Call, Client
from connectors.postgres.cuts import Cut
from connectors.postgres.deliveries import Deliver, Folder
from connectors.postgres.passwords import Throwaway
from connectors.postgres.preflight import ready
from connectors.postgres.rotation import Rotation
from connectors.postgres.snapshot import Own, Snapshot

NONE = timedelta(0)
ONLY_LOOKS = "These credentials may only look, so nothing was tried."
BETWEEN_LOOKS = 0.1  # a session that was just let in shows up in pg_stat_activity a moment later


def _ability(effect: EffectClass, inverse: str, probe: str, *, disruptive: bool = True, **parameters: type) -> Ability:
    return Ability(effect, OnAmbiguous.LOOK, inverse, NONE, probe, disruptive=disruptive, parameters=parameters)


class PostgresConnector:
    """Configured with `dsn`, and with `secret` if the DSN may change while a containment stands. Optional: `look_dsn`, `deliveries`,
    `checkpoints` (README.md)."""

    name = "postgres"
    abilities: Mapping[Measure, Ability] = {
        Measure.EVIDENCE_PRESERVE: _ability(EffectClass.NATURAL, "nothing to undo", "nothing is cut", disruptive=False),
        Measure.SESSION_PAUSE: _ability(
            EffectClass.NATURAL,
            "the former connection limit and every privilege, from the same grantors with the same options",
            "the catalogue: connection limit 0, no privilege left by name, no statement from before still running; read twice",
        ),
        Measure.SESSION_RESTRICT: _ability(
            EffectClass.NATURAL,
            "the former connection limit and every privilege taken, from the same grantors with the same options",
            "the catalogue: none of the privileges taken is left, and the server is asked what the role still reaches; read twice",
            schemas=list,
            mode=str,
            allow_new_sessions=bool,
        ),
        Measure.SESSION_TERMINATE: _ability(
            EffectClass.OBSERVABLE,
            IRREVERSIBLE,
            "no session that began before the first look is left, counted twice",
            spare=list,
            only=list,
        ),
        Measure.CREDENTIAL_REVOKE: _ability(
            EffectClass.NATURAL,
            "the former password and the right to log in",
            "a login with a throw-away password is told that the role may not log in; the catalogue agrees; no session left, counted twice",
        ),
        Measure.WORKLOAD_ISOLATE: _ability(
            EffectClass.NATURAL,
            "the former connection limit and CONNECT on each database; the password was never touched",
            "the catalogue: connection limit 0, no CONNECT by name; no session is left, counted twice",
            spare=list,
        ),
        Measure.CREDENTIAL_ROTATE: _ability(
            EffectClass.KEYED,
            "the former password, and what lay before where the new one was laid down; with `keep_new`, nothing: the new password stays",
            "the new password is let in, a wrong one is not, the former is not on record; no session from before is left, counted twice",
            deliver_to=str,
            keep_new=bool,
        ),
        Measure.JOB_CHECKPOINT: _ability(
            EffectClass.NATURAL, "nothing to undo", "a checkpoint is on record that is newer than the request", disruptive=False
        ),
    }

    def __init__(
        self,
        *,
        dsn: str,
        secret: str = "",
        look_dsn: str = "",
        deliveries: str = "",
        checkpoints: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._client = Client(dsn)
        self._look_dsn = look_dsn
        self._secret = hashlib.sha256(f"holdfast/postgres/{secret or dsn}".encode()).digest()
        self._sees_secrets = True
        self._acts_as = ""
        self._rotation = Rotation(self._client, self._secret, Folder(deliveries) if deliveries else None)
        self._known = {role: Checkpoint.configured(role, given) for role, given in (checkpoints or {}).items()}
        self._checkpoints = Checkpoints(self._client, self._known)

    def whoami(self) -> Sequence[str]:
        with self._client.call(seconds=10) as call:
            return roles.protected(call)

    def administrators(self) -> Sequence[str]:
        with self._client.call(seconds=10) as call:
            return roles.administrators(call)

    def looker(self) -> PostgresConnector | None:
        if not self._look_dsn:
            return None
        return Looker(dsn=self._look_dsn, acts_as=self._client.user, deliver=self._rotation.deliver, checkpoints=self._known)

    def resolves(self, step: Step) -> Sequence[str]:
        """The role in every spelling; and whoever has its privileges through it, where those are taken."""
        with self._client.call(seconds=step.deadline_s) as call:
            role = roles.named(call, step.target.subject)
            return [*roles.spellings(call, role), *(roles.members(call, role) if _takes(step) else [])]

    def manual(self, step: Step, was: State) -> Sequence[str]:
        return byhand.commands(step, cuts.of(step.measure, step.parameters), was)

    def hands_over(self, step: Step, was: State, to: Step, to_was: State) -> tuple[State, State]:
        return handover.between(cuts.of(step.measure, step.parameters), was, cuts.of(to.measure, to.parameters), to_was)

    def forget(self, step: Step, *, key: str) -> None:
        if step.measure is Measure.CREDENTIAL_ROTATE:
            self._rotation.forget(step, key=key)

    def preflight(self, step: Step) -> Ready:
        with self._client.call(seconds=step.deadline_s) as call:
            found = ready(call, step, cuts.of(step.measure, step.parameters), acting=self._acts_as)
        return _both(found, self._ready_besides(step))

    def _ready_besides(self, step: Step) -> Ready:
        if step.measure is Measure.CREDENTIAL_ROTATE:
            return self._rotation.ready(step)
        return self._checkpoints.ready(step) if step.measure is Measure.JOB_CHECKPOINT else Ready(True)

    def look(self, step: Step) -> State:
        cut = cuts.of(step.measure, step.parameters)
        return self._seen(step, cut, seconds=step.deadline_s).state(cut, self._throwaway(step))

    def perform(self, step: Step, *, key: str, was: State) -> Effect:
        cut = cuts.of(step.measure, step.parameters)
        if step.measure is Measure.EVIDENCE_PRESERVE:
            return Effect(False, "Looking changes nothing.")
        if step.measure is Measure.CREDENTIAL_ROTATE:
            return self._rotation.perform(step, key=key, was=was)
        if step.measure is Measure.JOB_CHECKPOINT:
            return self._checkpoints.perform(step, was=was)
        ends = time.monotonic() + step.deadline_s
        effect = self._client.change(lambda call: self._cut(call, step, cut, key, was), seconds=step.deadline_s)
        if not (cut.ends or cut.cancels):
            return effect
        try:
            with self._client.call(seconds=ends - time.monotonic()) as call:
                return _with_sessions(effect, cut, self._disturb(call, step, cut, was))
        except (Unavailable, LockedOut) as trouble:
            raise Ambiguous(f"The role was changed, but its sessions may live on: {trouble.said}") from trouble

    def probe(self, step: Step, *, key: str, was: State) -> Proof:
        cut = cuts.of(step.measure, step.parameters)
        if step.measure is Measure.EVIDENCE_PRESERVE:
            return Proof(True, ProofLevel.ACKNOWLEDGED, "There is nothing to prove: looking cuts nothing.")
        if step.measure is Measure.CREDENTIAL_ROTATE:
            return self._rotation.probe(step, key=key, was=was)
        if step.measure is Measure.JOB_CHECKPOINT:
            return self._checkpoints.probe(step, was=was)
        ends = time.monotonic() + step.deadline_s
        first = self._seen(step, cut, seconds=step.deadline_s, was=was)
        if alive := _alive(first, cut, was):
            return _not_yet(first, alive)
        answer = self._knock(step, key, was, seconds=ends - time.monotonic()) if cut.locks else None
        if answer == "":
            return _not_yet(first, ["a login with a throw-away password was let in"])
        time.sleep(BETWEEN_LOOKS)
        second = self._seen(step, cut, seconds=ends - time.monotonic(), was=was)
        if alive := _alive(second, cut, was):
            return _not_yet(second, alive)
        return _dead(second, cut, was, answer)

    def undo(self, step: Step, *, key: str, was: State) -> Effect:
        cut = cuts.of(step.measure, step.parameters)
        if step.measure in (Measure.EVIDENCE_PRESERVE, Measure.JOB_CHECKPOINT):
            return Effect(False, "There is nothing to undo.")
        if step.measure is Measure.CREDENTIAL_ROTATE:
            return self._rotation.undo(step, key=key, was=was)
        if step.measure is Measure.SESSION_TERMINATE:
            return Effect(False, "Sessions that ended stay ended; the role may open new ones.")
        return self._client.change(lambda call: self._put_back(call, step, cut, was), seconds=step.deadline_s)

    def collect(self, step: Step) -> Sequence[Artefact]:
        if step.measure is not Measure.EVIDENCE_PRESERVE:
            return []
        with self._client.call(seconds=step.deadline_s) as call:
            return evidence.collect(call, step.target.subject)

    # --- looking

    def _throwaway(self, step: Step) -> Throwaway:
        return Throwaway(self._secret, step.target.subject)

    def _seen(self, step: Step, cut: Cut, *, seconds: float, was: State | None = None) -> Snapshot:
        with self._client.call(seconds=seconds) as call:
            return self._snapshot(call, step, cut, was)

    def _snapshot(self, call: Call, step: Step, cut: Cut, was: State | None) -> Snapshot:
        which = sessions.which(step.parameters)
        seen = snapshot.take(
            call, step.target.subject, cut, which=which, before=_first_look(was) if was else None, secrets=self._sees_secrets
        )
        if was:
            snapshot.same_role(was, seen.role, seen.account)
        return seen

    # --- cutting

    def _cut(self, call: Call, step: Step, cut: Cut, key: str, was: State) -> Effect:
        now = self._snapshot(call, step, cut, was)
        if now.role.name == roles.ourselves(call)["name"]:
            raise Rejected(f"{now.role.name} is the role that we work with ourselves.")
        before, throwaway = Own.kept_in(was), self._throwaway(step)
        if changed_by_others := _differences(before, now.own, was, throwaway):
            raise Foreign(f"{now.role.name} was changed since it was looked at.", diff=changed_by_others)
        locking = cut.locks and (bool(now.own.login) or not _is_ours(now.own.verifier, throwaway))
        closing = cut.closes and now.own.limit != 0
        calming = cut.calms and now.own.read_only != "on"
        present = {grant.place for grant in now.own.grants}
        taking = [grant for grant in before.grants if grant.place in present]
        roles.alter(
            call,
            now.role,
            login=False if locking else None,
            verifier=throwaway.verifier(key) if locking else None,
            limit=0 if closing else None,
            reads_only="on" if calming else None,
        )
        refused = grants.take(call, now.role.name, taking)
        after = self._snapshot(call, step, cut, was)
        taken = {grant.place for grant in taking} - {grant.place for grant in after.own.grants}
        done = [
            *(["may not log in any more"] if locking else []),
            *(["may open no new session"] if closing else []),
            *(["reads only, unless it asks otherwise"] if calming else []),
            *([f"lost {len(taken)} privileges"] if taken else []),
        ]
        return Effect(
            changed=bool(done),
            said=f"{now.role.name} {', '.join(done)}." if done else f"{now.role.name} was so already.",
            left=[*after.left, *refused, *_given_since(after.own, before)],
            detail={"privileges": [str(grant) for grant in taking if grant.place in taken][:200]},
        )

    def _disturb(self, call: Call, step: Step, cut: Cut, was: State) -> Mapping[str, Any]:
        role = roles.named(call, step.target.subject)
        live = sessions.of(call, role.oid)
        if cut.cancels:
            return {"cancelled": sessions.cancel(call, [one for one in live if one.state == "active"])}
        which = sessions.which(step.parameters)
        doomed = sessions.doomed(live, before=_first_look(was) if cut.earlier_only else None, which=which)
        ended = sessions.end(call, doomed)
        return {"ended": ended, "origins": [one.shown() for one in doomed], "spared": len(live) - len(doomed)}

    # --- proving

    def _knock(self, step: Step, key: str, was: State, *, seconds: float) -> str | None:
        """Log in with the throw-away password, then leave the role with none. None: the password there is not ours to try."""
        ends = time.monotonic() + seconds
        throwaway = self._throwaway(step)

        def prepare(call: Call) -> bool:
            role = roles.named(call, step.target.subject)
            there = roles.verifier(call, role)
            ours = throwaway.made(there) or (not there and bool(was.public["own"]["login"]))
            if ours and there != throwaway.verifier(key) and not role.login:
                roles.alter(call, role, verifier=throwaway.verifier(key))
            return ours and not role.login

        def forget(call: Call) -> None:
            role = roles.named(call, step.target.subject)
            if throwaway.made(roles.verifier(call, role)):
                roles.alter(call, role, verifier="")

        if not self._client.change(prepare, seconds=seconds):
            return None
        answer = self._client.login_answer(step.target.subject, throwaway.password(key), seconds=ends - time.monotonic())
        self._client.change(forget, seconds=ends - time.monotonic())
        return answer

    # --- putting back

    def _put_back(self, call: Call, step: Step, cut: Cut, was: State) -> Effect:
        before, throwaway = Own.kept_in(was), self._throwaway(step)
        now = self._snapshot(call, step, cut, was)
        if before.verifier == "" and was.public["own"]["password"] not in ("none", "throw-away"):
            raise Rejected("The sealed password verifier is missing, so the password cannot be put back.")
        if changed_by_others := _differences(before, now.own, was, throwaway):
            raise Foreign(f"{now.role.name} was changed by somebody else after us. Nothing was touched.", diff=changed_by_others)
        login = before.login if before.login != now.own.login else None
        limit = before.limit if before.limit != now.own.limit else None
        verifier = before.verifier if before.verifier != now.own.verifier else None
        read_only = before.read_only if before.read_only != now.own.read_only else None
        roles.alter(call, now.role, login=login, limit=limit, verifier=verifier, reads_only=read_only)
        present = {grant.place for grant in now.own.grants}
        missing, gone = grants.as_named_now(call, [grant for grant in before.grants if grant.place not in present])
        refused = grants.give(call, now.role.name, missing)
        back = {(grant.place, grant.grantable) for grant in grants.of(call, now.role.oid)}
        not_back = [str(grant) for grant in missing if (grant.place, grant.grantable) not in back]
        if not_back:
            raise Foreign(
                "Some privileges cannot be given back as they were. Nothing was touched.",
                diff={"grants": {"before": not_back, "ours": [], "now": refused or not_back}},
            )
        changed = any(one is not None for one in (login, limit, verifier, read_only)) or bool(missing)
        return Effect(
            changed=changed,
            said=f"{now.role.name} is as it was." if changed else f"{now.role.name} was as before already.",
            left=[f"{grant}: it does not exist any more" for grant in gone],
        )


class Looker(PostgresConnector):
    """On credentials that may only read the catalogue. `acts_as`: whose rights preflight is about. What changes something is refused before
    anybody is called, and so is a proof that would log in."""

    def __init__(self, *, dsn: str, acts_as: str, deliver: Deliver | None, checkpoints: Mapping[str, Checkpoint]) -> None:
        super().__init__(dsn=dsn)
        self._client = Client(dsn, reads_only=True)
        self._acts_as = acts_as
        self._sees_secrets = False
        self._rotation = Rotation(self._client, self._secret, deliver)
        self._checkpoints = Checkpoints(self._client, checkpoints, acts_as)

    def looker(self) -> PostgresConnector | None:
        return self

    def forget(self, step: Step, *, key: str) -> None:
        raise Rejected(ONLY_LOOKS)

    def perform(self, step: Step, *, key: str, was: State) -> Effect:
        raise Rejected(ONLY_LOOKS)

    def probe(self, step: Step, *, key: str, was: State) -> Proof:
        raise Rejected(ONLY_LOOKS)

    def undo(self, step: Step, *, key: str, was: State) -> Effect:
        raise Rejected(ONLY_LOOKS)


def _takes(step: Step) -> bool:
    return step.measure in (Measure.SESSION_PAUSE, Measure.SESSION_RESTRICT, Measure.WORKLOAD_ISOLATE)


def _both(one: Ready, other: Ready) -> Ready:
    return Ready(one.can and other.can, [*one.missing, *other.missing], [*one.remedy, *other.remedy], [*one.too_much, *other.too_much])


def _first_look(was: State) -> datetime:
    return datetime.fromisoformat(was.public["seen"]["at"])


def _is_ours(verifier: str | None, throwaway: Throwaway) -> bool:
    """We leave a throw-away password and, once it has served the probe, none."""
    return not verifier or throwaway.made(verifier)


def _differences(before: Own, now: Own, was: State, throwaway: Throwaway) -> dict[str, Any]:
    """Attributes that are neither as they were nor as we leave them: before, ours, now. Passwords are named by kind alone."""
    diff: dict[str, Any] = {}
    if now.limit not in (before.limit, 0, None):
        diff["limit"] = {"before": before.limit, "ours": 0, "now": now.limit}
    if now.login not in (before.login, False, None):
        diff["login"] = {"before": before.login, "ours": False, "now": now.login}
    if now.read_only not in (before.read_only, "on", None):
        diff["read_only"] = {"before": before.read_only, "ours": "on", "now": now.read_only}
    if now.verifier is not None and not _is_ours(now.verifier, throwaway) and now.verifier != before.verifier:
        diff["password"] = {"before": was.public["own"]["password"], "ours": "none", "now": f"another {passwords.kind_of(now.verifier)}"}
    options = {grant.place: grant.grantable for grant in now.grants}
    other = [grant for grant in before.grants if options.get(grant.place, grant.grantable) != grant.grantable]
    if other:
        diff["grants"] = {
            "before": [f"{grant}{_option(grant.grantable)}" for grant in other],
            "ours": [],
            "now": [f"{grant}{_option(not grant.grantable)}" for grant in other],
        }
    return diff


def _option(grantable: bool) -> str:
    return " with grant option" if grantable else ""


def _given_since(now: Own, before: Own) -> list[str]:
    known = {grant.place for grant in before.grants}
    return [f"{grant}: granted since it was looked at" for grant in now.grants if grant.place not in known]


def _passed_on(now: Own) -> list[str]:
    return [f"{grant}: passed on to others, who would lose it too" for grant in now.grants if grant.passed_on]


def _alive(seen: Snapshot, cut: Cut, was: State) -> list[str]:
    """What must not be so any more."""
    before = Own.kept_in(was)
    known = {grant.place for grant in before.grants}
    alive: list[str] = []
    if cut.closes and seen.own.limit != 0:
        alive.append(f"the connection limit is {seen.own.limit}, not 0")
    if cut.locks and seen.own.login:
        alive.append("the role may log in")
    if kept := [grant for grant in seen.own.grants if grant.place in known and not grant.passed_on]:
        alive.append(f"{len(kept)} privileges are still there, {kept[0]} among them")
    if seen.doomed:
        alive.append(f"{len(seen.doomed)} sessions are live")
    if cut.cancels and (busy := [one for one in seen.live if one.busy_since_before(_first_look(was))]):
        alive.append(f"{len(busy)} statements from before the cut are still running")
    return alive


def _not_yet(seen: Snapshot, alive: Sequence[str]) -> Proof:
    said = f"{seen.role.name}: {'; '.join(alive)}."
    return Proof(False, ProofLevel.INTROSPECTED, said, detail={"alive": list(alive), "live_sessions": len(seen.live)})


def _dead(seen: Snapshot, cut: Cut, was: State, answer: str | None) -> Proof:
    replayed = answer is not None and NOT_PERMITTED in answer
    open_since_before = [one for one in seen.live if cut.is_about_privileges and one.in_transaction_since_before(_first_look(was))]
    words = [
        *([f"a login with a throw-away password was told that the role {NOT_PERMITTED}"] if replayed else []),
        *(["the catalogue says that it may not log in"] if cut.locks else []),
        *(["its connection limit is 0"] if cut.closes else []),
        *(["the privileges are gone"] if Own.kept_in(was).grants else []),
        *(["no session is left, counted twice"] if cut.ends and not seen.live else []),
        *([f"{_counted(len(seen.live), 'session')} still open"] if seen.live else []),
    ]
    return Proof(
        dead=True,
        level=ProofLevel.REPLAYED if replayed else ProofLevel.INTROSPECTED,
        said=f"{seen.role.name}: {'; '.join(words) or 'nothing is left to cut'}.",
        detail={"answer": answer or "", "live_sessions": len(seen.live), "limit": seen.role.limit, "login": seen.role.login},
        left=[
            *seen.left,
            *_passed_on(seen.own),
            *_given_since(seen.own, Own.kept_in(was)),
            *(
                f"a transaction from before the cut is open ({one.application} from {one.address}): it may read on"
                for one in open_since_before
            ),
        ],
    )


def _with_sessions(effect: Effect, cut: Cut, disturbed: Mapping[str, Any]) -> Effect:
    count = disturbed["cancelled" if cut.cancels else "ended"]
    said = effect.said if effect.changed or not count else ""
    if count:
        said = f"{said} {_counted(count, 'statement')} cancelled." if cut.cancels else f"{said} {_counted(count, 'session')} ended."
    return Effect(effect.changed or bool(count), said.strip(), effect.left, {**effect.detail, **disturbed})


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
