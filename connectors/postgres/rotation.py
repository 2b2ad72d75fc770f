"""A new password for a role: issued, laid down for those who need it, made the role's, proven to work; the old one proven not to.

The new password follows from the attempt's key, so a second try issues the same. Its verifier carries a moment a little ahead of the
change: whoever logged in before that moment may have used the former password, and is ended; whoever came later cannot have. Whoever finds
the change committed before its moment settles it, in the verifier itself; where nobody did in time, it is made again with a later moment,
so a worker that dies in between leaves nothing open. That the former password is dead follows from two things, since nobody here knows
it: a role has one verifier, and a wrong password is refused.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import psycopg

from connectors.base import (
    Ambiguous,
    ConnectorTrouble,
    Effect,
    Foreign,
    LockedOut,
    Proof,
    ProofLevel,
    Ready,
    Rejected,
    State,
    Step,
    Unavailable,
)
from connectors.postgres import passwords, roles, sessions
from connectors.postgres.client import Call, Client
from connectors.postgres.deliveries import Deliver, Parcel
from connectors.postgres.passwords import Issued, Throwaway
from connectors.postgres.snapshot import VERIFIER, same_role

AHEAD = timedelta(milliseconds=250)  # the change is committed by then, or it is made again with a moment twice as far ahead
TRIES = 4
BETWEEN_COUNTS = 0.1


@dataclass(frozen=True, slots=True)
class Rotation:
    client: Client
    secret: bytes
    deliver: Deliver | None

    def ready(self, step: Step) -> Ready:
        """Whether the password could be laid down where the playbook says."""
        try:
            self._deliver(step, None)
        except Rejected as trouble:
            return Ready(False, missing=[trouble.said], remedy=["Configure `deliveries`, and name a path inside it in `deliver_to`."])
        return Ready(True)

    def perform(self, step: Step, *, key: str, was: State) -> Effect:
        issued = Issued(self.secret, step.target.subject, key)
        ends = time.monotonic() + step.deadline_s
        changed = self.client.change(lambda call: self._issue(call, step, issued, key, was), seconds=step.deadline_s)
        try:
            since = self._settled(step, issued, key, was, ends)
            with self.client.call(seconds=ends - time.monotonic()) as call:
                ended = _end_former(call, step, since)
        except (LockedOut, Unavailable) as trouble:
            said = f"The role has its new password, but sessions from before may live on: {trouble.said}"
            raise Ambiguous(said, retry_after=trouble.retry_after) from trouble
        to = step.parameters["deliver_to"]
        said = f"{step.target.subject} has a new password, laid down at {to}." if changed else f"{step.target.subject} had it already."
        return Effect(changed or bool(ended), f"{said} {ended} sessions from before ended." if ended else said, detail={"ended": ended})

    def probe(self, step: Step, *, key: str, was: State) -> Proof:
        issued = Issued(self.secret, step.target.subject, key)
        ends = time.monotonic() + step.deadline_s
        if alive := self._alive(step, issued, was, ends):
            return _not_yet(step, alive)
        if answer := self._knock(step, issued.password, ends):
            return _not_yet(step, [f"the new password does not let it in: {answer}"])
        if not self._knock(step, Throwaway(self.secret, step.target.subject).password(key), ends):
            return _not_yet(step, ["the server lets it in with any password"])
        time.sleep(BETWEEN_COUNTS)
        if alive := self._alive(step, issued, was, ends):
            return _not_yet(step, alive)
        said = (
            f"{step.target.subject}: the new password was let in, a wrong one was refused, the former one is not on record any more; "
            "no session from before is left, counted twice."
        )
        return Proof(True, ProofLevel.INTROSPECTED, said)

    def undo(self, step: Step, *, key: str, was: State) -> Effect:
        if step.parameters.get("keep_new") is True:
            self.forget(step, key=key)
            return Effect(False, f"{step.target.subject} keeps its new password: the former one is known to others.")
        issued = Issued(self.secret, step.target.subject, key)
        parcel = self._parcel(step, issued, key)
        try:
            changed = self.client.change(lambda call: self._put_back(call, step, issued, was), seconds=step.deadline_s)
        except Foreign as trouble:  # what we laid down opens nothing any more
            left = self._back(step, parcel)
            raise Foreign(_and(trouble.said, left), diff=trouble.diff) from trouble
        left = self._back(step, parcel)
        said = f"{step.target.subject} has its former password." if changed else f"{step.target.subject} had its former password already."
        return Effect(changed, said, left=[left] if left else [])

    def forget(self, step: Step, *, key: str) -> None:
        """What lay there before goes, if the role has the new password: it may be all that anybody has, otherwise."""
        issued = Issued(self.secret, step.target.subject, key)

        def forget(call: Call) -> None:
            if issued.stamp(roles.verifier(call, roles.named(call, step.target.subject))):
                self._forget(step, self._parcel(step, issued, key))

        self.client.change(forget, seconds=step.deadline_s)

    # --- in one transaction

    def _issue(self, call: Call, step: Step, issued: Issued, key: str, was: State) -> bool:
        """Laid down first: a role whose new password nobody knows would be cut off, one whose password comes a moment late is not. Where it
        does not become the role's, it is taken away again, under our lock."""
        role, there = self._role(call, step, was)
        if issued.stamp(there):
            return False
        try:
            self._make_it_the_roles(call, step, issued, key, was, role, there)
        except (ConnectorTrouble, psycopg.Error):
            with contextlib.suppress(Rejected):
                self._deliver(step, self._parcel(step, issued, key), back=True)
            raise
        return True

    def _make_it_the_roles(self, call: Call, step: Step, issued: Issued, key: str, was: State, role: roles.Role, there: str) -> None:
        if role.name == roles.ourselves(call)["name"]:
            raise Rejected(f"{role.name} is the role that we work with ourselves.")
        if not role.login:
            raise Rejected(f"{role.name} may not log in, so a new password could not be proven to work.")
        if not there:
            raise Rejected(f"{role.name} has no password that could be replaced.")
        if there != was.secret.get(VERIFIER):
            raise Foreign(f"{role.name} was given another password since it was looked at.", diff=_diff(was, there))
        self._deliver(step, self._parcel(step, issued, key))
        roles.alter(call, role, verifier=issued.verifier(sessions.now(call) + AHEAD))

    def _settled(self, step: Step, issued: Issued, key: str, was: State, ends: float) -> datetime:
        """The moment from which the former password let nobody in, once it is on record that this is so."""
        for tries in range(1, TRIES + 1):
            settle = partial(self._settle, step=step, issued=issued, key=key, was=was, ahead=AHEAD * 2**tries)
            if since := self.client.change(settle, seconds=ends - time.monotonic()):
                return since
        raise Unavailable("The database takes too long to commit. Trying again later.", retry_after=5.0)

    def _settle(self, call: Call, *, step: Step, issued: Issued, key: str, was: State, ahead: timedelta) -> datetime | None:
        """What is seen here is committed: in time, if its moment is yet to come. None: it was made again with a later one."""
        role, there = self._role(call, step, was)
        found = issued.stamp(there)
        if found is None:
            left = self._back(step, self._parcel(step, issued, key))
            raise Foreign(_and(f"{role.name} was given another password after us.", left), diff=_diff(was, there))
        if found.settled:
            return found.since
        if step.parameters.get("keep_new") is True:
            self._forget(step, self._parcel(step, issued, key))  # the former password is known to others: no copy of it is kept
        now = sessions.now(call)
        in_time = now <= found.since
        roles.alter(call, role, verifier=issued.verifier(found.since if in_time else now + ahead, settled=in_time))
        return found.since if in_time else None

    def _put_back(self, call: Call, step: Step, issued: Issued, was: State) -> bool:
        role, there = self._role(call, step, was)
        before = was.secret.get(VERIFIER, "")
        if before and there == before:
            return False
        if not issued.stamp(there):
            if not (there or before):
                return False
            raise Foreign(f"{role.name} was given another password after us. Nothing was touched.", diff=_diff(was, there))
        if not before:
            raise Rejected("The sealed password verifier is missing, so the password cannot be put back.")
        roles.alter(call, role, verifier=before)
        return True

    # --- looking

    def _alive(self, step: Step, issued: Issued, was: State, ends: float) -> list[str]:
        with self.client.call(seconds=ends - time.monotonic()) as call:
            role, there = self._role(call, step, was)
            found = issued.stamp(there)
            if found is None:
                return ["its password is not the one that was issued"]
            if not found.settled:
                return ["it is not on record that the former password was gone in time"]
            former = _former(call, role, found.since)
            return [f"{len(former)} sessions from before are live"] if former else []

    def _role(self, call: Call, step: Step, was: State) -> tuple[roles.Role, str]:
        role = roles.named(call, step.target.subject)
        same_role(was, role, roles.account(call))
        return role, roles.verifier(call, role)

    def _knock(self, step: Step, password: str, ends: float) -> str:
        return self.client.login_answer(step.target.subject, password, seconds=ends - time.monotonic())

    # --- handing over

    def _parcel(self, step: Step, issued: Issued, key: str) -> Parcel:
        return Parcel(step.target.subject, key, issued.password)

    def _deliver(self, step: Step, parcel: Parcel | None, *, back: bool = False) -> str:
        if self.deliver is None:
            raise Rejected("No place is configured where a new password could be laid down.")
        return self.deliver(step.parameters.get("deliver_to", ""), parcel, back=back)

    def _forget(self, step: Step, parcel: Parcel) -> None:
        if self.deliver is not None:
            self.deliver.forget(step.parameters.get("deliver_to", ""), parcel)

    def _back(self, step: Step, parcel: Parcel) -> str:
        """In words what could not be put back there: that must not keep the role from getting its own back."""
        try:
            return self._deliver(step, parcel, back=True)
        except Rejected as trouble:
            return f"what was laid down at {step.parameters.get('deliver_to')} is still there: {trouble.said.rstrip('.')}"


def _former(call: Call, role: roles.Role, since: datetime) -> Sequence[sessions.Session]:
    return sessions.doomed(sessions.of(call, role.oid), before=since, which=sessions.Which())


def _end_former(call: Call, step: Step, since: datetime) -> int:
    """Once the moment has come, so that nobody slips in behind."""
    time.sleep(max(0.0, (since - sessions.now(call)).total_seconds()))
    return sessions.end(call, _former(call, roles.named(call, step.target.subject), since))


def _and(said: str, left: str) -> str:
    return f"{said} {left[0].upper()}{left[1:]}." if left else said


def _diff(was: State, there: str) -> dict[str, object]:
    now = f"another {passwords.kind_of(there)}" if there else "none"
    return {"password": {"before": was.public["own"]["password"], "ours": "the issued one", "now": now}}


def _not_yet(step: Step, alive: Sequence[str]) -> Proof:
    return Proof(False, ProofLevel.INTROSPECTED, f"{step.target.subject}: {'; '.join(alive)}.", detail={"alive": list(alive)})
