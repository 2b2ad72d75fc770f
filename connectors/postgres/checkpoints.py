"""Makes a long job save itself before it is cut: calls the function that the configuration names for its role, and waits for the result.

Only configured names are called, never anything a playbook says. The function runs with its owner's rights and belongs to somebody whom the
role cannot act as: otherwise whoever is to be contained would decide what we do.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from psycopg import sql

from connectors.base import Effect, Proof, ProofLevel, Ready, Rejected, State, Step
from connectors.postgres import roles
from connectors.postgres.client import Call, Client

QUALIFIED = re.compile(r"[^\W\d][\w$]*\.[^\W\d][\w$]*")
BETWEEN_LOOKS = 0.2
KEPT_BACK = 1.0  # of the deadline, for the last look


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`call` and `newest`, split into schema and name."""

    call: tuple[str, str]
    newest: tuple[str, str]

    @classmethod
    def configured(cls, role: str, given: Mapping[str, str]) -> Self:
        names = [given[name].removesuffix("()") for name in ("call", "newest")]
        if not all(QUALIFIED.fullmatch(name) for name in names):
            raise ValueError(f"The checkpoint of {role} names a function as `call` and a view as `newest`, each with its schema.")
        schema, function = names[0].split(".")
        newest_schema, newest = names[1].split(".")
        return cls((schema, function), (newest_schema, newest))


@dataclass(frozen=True, slots=True)
class Checkpoints:
    client: Client
    known: Mapping[str, Checkpoint]

    def ready(self, step: Step) -> Ready:
        try:
            with self.client.call(seconds=step.deadline_s) as call:
                self.newest(call, step)
        except Rejected as trouble:
            return Ready(False, missing=[trouble.said])
        return Ready(True)

    def newest(self, call: Call, step: Step) -> datetime | None:
        """When the job saved itself last; None if it never did."""
        checkpoint = self._of(step)
        role = roles.named(call, step.target.subject)
        _may_be_called(call, checkpoint, role)
        query = sql.SQL("SELECT max(at) AS at FROM {}").format(sql.Identifier(*checkpoint.newest))
        newest: datetime | None = call.rows(query)[0]["at"]
        return newest

    def perform(self, step: Step, *, was: State) -> Effect:
        ends = time.monotonic() + step.deadline_s - KEPT_BACK
        if saved := self._saved_since(step, was, seconds=step.deadline_s):
            return Effect(False, f"The job saved itself at {saved:%H:%M:%S}.")
        function = sql.Identifier(*self._of(step).call)
        self.client.change(lambda call: call.do(sql.SQL("SELECT {}()").format(function)), seconds=ends - time.monotonic())
        while time.monotonic() < ends:
            if saved := self._saved_since(step, was, seconds=ends - time.monotonic() + KEPT_BACK):
                return Effect(True, f"The job saved itself at {saved:%H:%M:%S}.")
            time.sleep(BETWEEN_LOOKS)
        return Effect(True, "The job was asked to save itself, and has not done so yet.")

    def probe(self, step: Step, *, was: State) -> Proof:
        if saved := self._saved_since(step, was, seconds=step.deadline_s):
            return Proof(True, ProofLevel.INTROSPECTED, f"A checkpoint of {saved:%H:%M:%S} is there, made after it was asked for.")
        return Proof(False, ProofLevel.INTROSPECTED, "No checkpoint is there that was made after it was asked for.")

    def _saved_since(self, step: Step, was: State, *, seconds: float) -> datetime | None:
        with self.client.call(seconds=seconds) as call:
            newest = self.newest(call, step)
        return newest if newest and newest > datetime.fromisoformat(was.public["seen"]["at"]) else None

    def _of(self, step: Step) -> Checkpoint:
        try:
            return self.known[step.target.subject]
        except KeyError:
            raise Rejected(f"It is not configured how {step.target.subject} saves its work (`checkpoints`).") from None


def _may_be_called(call: Call, checkpoint: Checkpoint, role: roles.Role) -> None:
    """Neither the function nor the view may be one that the role could have written."""
    function, view = (sql.Identifier(*name).as_string(call.home) for name in (checkpoint.call, checkpoint.newest))
    rows = call.rows(
        """
        SELECT p.prosecdef AS definer,
               pg_has_role(%(role)s::oid, p.proowner, 'MEMBER') OR pg_has_role(%(role)s::oid, c.relowner, 'MEMBER') AS theirs
          FROM pg_proc p CROSS JOIN pg_class c
         WHERE p.oid = to_regprocedure(%(function)s || '()') AND c.oid = to_regclass(%(view)s)
        """,
        {"role": role.oid, "function": function, "view": view},
    )
    if not rows:
        raise Rejected(f"There is no function {function}() here, or no {view}.")
    if rows[0]["theirs"]:
        raise Rejected(f"{role.name} can act as the owner of {function}() or {view}, so it could decide what we do.")
    if not rows[0]["definer"]:
        raise Rejected(f"{function}() would run with our rights. Make it SECURITY DEFINER.")
