"""A new password for a role: issued, laid down for those who need it, made the role's, proven to work; the old one proven not to.

The new password follows from the attempt's key, so a second try issues the same. Its verifier carries a moment a little ahead of the
change: whoever logged in before that moment may have used the former password, and is ended; whoever came later cannot have. That the
former password is dead follows from two things, since nobody here knows it: a role has one verifier, and a wrong password is refused.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from connectors.base import Effect, Foreign, Proof, ProofLevel, Ready, Rejected, State, Step, Unavailable
from connectors.postgres import passwords, roles, sessions
from connectors.postgres.client import Call, Client
from connectors.postgres.deliveries import Deliver, Parcel
from connectors.postgres.passwords import Issued, Throwaway
from connectors.postgres.snapshot import VERIFIER, same_role

AHEAD = timedelta(milliseconds=250)  # the change is committed by then, or it is made again with a later moment
TRIES = 3
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
        for _ in range(TRIES):
            with self.client.call(seconds=ends - time.monotonic()) as call:
                since = self._since(call, step, issued, was)
                late = changed and sessions.now(call) > since
                if not late:
                    ended = _end_former(call, step, since)
                    break
            self.client.change(
                lambda call: self._set(call, roles.named(call, step.target.subject), issued), seconds=ends - time.monotonic()
            )
        else:
            raise Unavailable("The database takes too long to commit. Trying again later.", retry_after=5.0)
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
            return Effect(False, f"{step.target.subject} keeps its new password: the former one is known to others.")
        issued = Issued(self.secret, step.target.subject, key)
        changed = self.client.change(lambda call: self._put_back(call, step, issued, was), seconds=step.deadline_s)
        left = self._deliver(step, self._parcel(step, issued, key), back=True)
        said = f"{step.target.subject} has its former password." if changed else f"{step.target.subject} had its former password already."
        return Effect(changed, said, left=[left] if left else [])

    # --- in one transaction

    def _issue(self, call: Call, step: Step, issued: Issued, key: str, was: State) -> bool:
        """Laid down first: a role whose new password nobody knows would be cut off, one whose password comes a moment late is not."""
        role, there = self._role(call, step, was)
        if issued.since(there):
            return False
        if role.name == roles.ourselves(call)["name"]:
            raise Rejected(f"{role.name} is the role that we work with ourselves.")
        if not role.login:
            raise Rejected(f"{role.name} may not log in, so a new password could not be proven to work.")
        if not there:
            raise Rejected(f"{role.name} has no password that could be replaced.")
        if there != was.secret.get(VERIFIER):
            raise Foreign(f"{role.name} was given another password since it was looked at.", diff=_diff(was, there))
        self._deliver(step, self._parcel(step, issued, key))
        self._set(call, role, issued)
        return True

    def _set(self, call: Call, role: roles.Role, issued: Issued) -> None:
        roles.alter(call, role, verifier=issued.verifier(sessions.now(call) + AHEAD))

    def _put_back(self, call: Call, step: Step, issued: Issued, was: State) -> bool:
        role, there = self._role(call, step, was)
        before = was.secret.get(VERIFIER, "")
        if before and there == before:
            return False
        if not issued.since(there):
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
            since = issued.since(there)
            if since is None:
                return ["its password is not the one that was issued"]
            former = _former(call, role, since)
            return [f"{len(former)} sessions from before are live"] if former else []

    def _since(self, call: Call, step: Step, issued: Issued, was: State) -> datetime:
        _, there = self._role(call, step, was)
        since = issued.since(there)
        if since is None:
            raise Foreign(f"{step.target.subject} was given another password after us.", diff=_diff(was, there))
        return since

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


def _former(call: Call, role: roles.Role, since: datetime) -> Sequence[sessions.Session]:
    return sessions.doomed(sessions.of(call, role.oid), before=since, which=sessions.Which())


def _end_former(call: Call, step: Step, since: datetime) -> int:
    """Once the moment has come, so that nobody slips in behind."""
    time.sleep(max(0.0, (since - sessions.now(call)).total_seconds()))
    return sessions.end(call, _former(call, roles.named(call, step.target.subject), since))


def _diff(was: State, there: str) -> dict[str, object]:
    now = f"another {passwords.kind_of(there)}" if there else "none"
    return {"password": {"before": was.public["own"]["password"], "ours": "the issued one", "now": now}}


def _not_yet(step: Step, alive: Sequence[str]) -> Proof:
    return Proof(False, ProofLevel.INTROSPECTED, f"{step.target.subject}: {'; '.join(alive)}.", detail={"alive": list(alive)})
