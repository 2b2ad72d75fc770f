"""What one measure sees of one role, as a State that can be shown, sealed, compared and put back.

`own` holds the attributes that this measure changes and no others, so that several measures on one role can be undone one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors.base import Rejected, State
from connectors.postgres import grants, passwords, reach, roles, sessions
from connectors.postgres.client import Call
from connectors.postgres.cuts import Cut
from connectors.postgres.grants import Grant
from connectors.postgres.passwords import Throwaway
from connectors.postgres.roles import Role

VERIFIER = "verifier"
BY_NAME = "by name"  # reach.py says so of rights that a revocation would end


EVERYBODY = sessions.Which()


@dataclass(frozen=True, slots=True)
class Own:
    """The attributes a measure changes: None for those it leaves alone."""

    limit: int | None = None
    login: bool | None = None
    verifier: str | None = None
    grants: tuple[Grant, ...] = ()
    read_only: str | None = None

    def shown(self, throwaway: Throwaway) -> dict[str, Any]:
        shown: dict[str, Any] = {"grants": [grant.plain() for grant in self.grants]}
        if self.limit is not None:
            shown["limit"] = self.limit
        if self.login is not None:
            shown["login"] = self.login
        if self.read_only is not None:
            shown["read_only"] = self.read_only
        if self.verifier is not None:
            shown["password"] = "throw-away" if throwaway.made(self.verifier) else passwords.kind_of(self.verifier)
        return shown

    @classmethod
    def kept_in(cls, was: State) -> Own:
        """As look saw it first. The verifier was sealed meanwhile, so it may be missing: only undo needs it."""
        own: Mapping[str, Any] = was.public["own"]
        return cls(
            limit=own.get("limit"),
            login=own.get("login"),
            verifier=was.secret.get(VERIFIER, "") if "password" in own else None,
            grants=tuple(Grant.parsed(entry) for entry in own["grants"]),
            read_only=own.get("read_only"),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    role: Role
    account: str
    at: datetime
    own: Own
    live: Sequence[sessions.Session]
    doomed: Sequence[sessions.Session]
    left: Sequence[str]
    reach: Sequence[reach.Reach]

    def contained(self, cut: Cut) -> bool:
        """Nothing that the cut would change is left, and nothing would be left over."""
        nothing_to_change = not self.own.grants and not self.own.login and self.own.limit in (None, 0)
        about_something = cut.closes or cut.locks or cut.ends or cut.is_about_privileges
        return about_something and nothing_to_change and not self.doomed and not self.left

    def state(self, cut: Cut, throwaway: Throwaway) -> State:
        secret = {VERIFIER: self.own.verifier} if self.own.verifier and not throwaway.made(self.own.verifier) else {}
        return State(
            contained=self.contained(cut),
            public={
                "role": self.role.identity(),
                "own": self.own.shown(throwaway),
                "left": list(self.left),
                "reach": reach.summary(self.reach),
                "seen": {"at": self.at.isoformat(), "sessions": [one.shown() for one in self.live]},
            },
            secret=secret,
            live_sessions=len(self.live),
            account=self.account,
        )


def take(
    call: Call, name: str, cut: Cut, *, which: sessions.Which = EVERYBODY, before: datetime | None = None, secrets: bool = True
) -> Snapshot:
    """Look at the role as this cut sees it; without its password's verifier if we may not see `secrets`."""
    role = roles.named(call, name)
    live = sessions.of(call, role.oid)
    reached = [] if role.superuser else reach.of(call, role.oid)
    own = Own(
        limit=role.limit if cut.closes else None,
        login=role.login if cut.locks else None,
        verifier=roles.verifier(call, role) if secrets and (cut.locks or cut.renews) else None,
        grants=tuple(grant for grant in grants.of(call, role.oid) if cut.takes(grant)),
        read_only=roles.read_only(call, role) if cut.calms else None,
    )
    return Snapshot(
        role=role,
        account=roles.account(call),
        at=sessions.now(call),
        own=own,
        live=live,
        doomed=sessions.doomed(live, before=before if cut.earlier_only else None, which=which) if cut.ends else [],
        left=left_over(role, cut, reached),
        reach=reached,
    )


def left_over(role: Role, cut: Cut, reached: Sequence[reach.Reach]) -> list[str]:
    """What this cut cannot reach: rights that the role has in other ways than by name, and doors that a limit does not close."""
    left: list[str] = []
    if role.superuser and (cut.closes or cut.is_about_privileges):
        left.append(f"{role.name} is a superuser: no connection limit and no missing privilege stops it")
    if role.replication and cut.closes:
        left.append(f"{role.name} may replicate: the connection limit does not count replication connections")
    if role.createrole and cut.is_about_privileges:
        left.append(f"{role.name} may create roles: a live session could make itself another login")
    if cut.is_about_privileges:
        left += reach.shown(one for one in reached if cut.leaves(one) and one.through != BY_NAME)
    return left


def same_role(was: State, role: Role, account: str) -> None:
    """Rejected if another cluster answers, or another role by the same name."""
    if was.account and was.account != account:
        raise Rejected(f"Another database answers than the one looked at before: {account} instead of {was.account}.")
    if was.public["role"]["oid"] != role.oid:
        raise Rejected(f"The role {role.name} was dropped and made again since it was looked at.")
