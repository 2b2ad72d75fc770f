"""Makes a long job save itself before it is cut: calls the function that the configuration names for its role, and waits for the result.

Only configured names are called, never anything a playbook says. The function runs with its owner's rights and belongs to somebody whom the
role cannot act as, and so does all that is read to see the result: otherwise whoever is to be contained would decide what we do.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString, Self

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
    """`acts_as`: who would do it, if that is not the role we ask as."""

    client: Client
    known: Mapping[str, Checkpoint]
    acts_as: str = ""

    def ready(self, step: Step) -> Ready:
        """From the catalogue alone: nothing is called and nothing is read."""
        try:
            with self.client.call(seconds=step.deadline_s) as call:
                checkpoint = self._of(step)
                _may_be_called(call, checkpoint, roles.named(call, step.target.subject))
                lacks = _lacks(call, checkpoint, self.acts_as or roles.ourselves(call)["name"])
        except Rejected as trouble:
            return Ready(False, missing=[trouble.said])
        return Ready(not lacks, missing=[what for what, _ in lacks], remedy=[how for _, how in lacks])

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
        self.client.change(lambda call: self._ask(call, step), seconds=ends - time.monotonic())
        while time.monotonic() < ends:
            if saved := self._saved_since(step, was, seconds=ends - time.monotonic() + KEPT_BACK):
                return Effect(True, f"The job saved itself at {saved:%H:%M:%S}.")
            time.sleep(BETWEEN_LOOKS)
        return Effect(True, "The job was asked to save itself, and has not done so yet.")

    def probe(self, step: Step, *, was: State) -> Proof:
        if saved := self._saved_since(step, was, seconds=step.deadline_s):
            return Proof(True, ProofLevel.INTROSPECTED, f"A checkpoint of {saved:%H:%M:%S} is there, made after it was asked for.")
        return Proof(False, ProofLevel.INTROSPECTED, "No checkpoint is there that was made after it was asked for.")

    def _ask(self, call: Call, step: Step) -> None:
        checkpoint = self._of(step)
        _may_be_called(call, checkpoint, roles.named(call, step.target.subject))
        call.do(sql.SQL("SELECT {}()").format(sql.Identifier(*checkpoint.call)))

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
    """Neither the function, nor anything that reading the view would run, may be one that the role could have written."""
    function, view = (sql.Identifier(*name).as_string(call.home) for name in (checkpoint.call, checkpoint.newest))
    found, newest = _function(call, checkpoint.call, role), _relation(call, checkpoint.newest)
    if not found or not newest:
        raise Rejected(f"There is no function {function}() here, or no {view}.")
    if found["theirs"]:
        raise Rejected(f"{role.name} can act as the owner of {function}(), so it could decide what we do.")
    if not found["definer"]:
        raise Rejected(f"{function}() would run with our rights. Make it SECURITY DEFINER.")
    for one in call.rows(_READ, {"newest": newest, "role": role.oid}):
        if one["theirs"]:
            raise Rejected(f"{role.name} can act as the owner of {one['name']}, which {view} reads, so it could decide what we do.")
        if one["why"]:
            raise Rejected(f"Reading {view} could run what others wrote, with our rights: {one['name']} {one['why']}.")


def _lacks(call: Call, checkpoint: Checkpoint, us: str) -> list[tuple[str, str]]:
    """What we may not do that it takes, and the statement that gives it."""
    function, view = sql.Identifier(*checkpoint.call), sql.Identifier(*checkpoint.newest)
    relation, name = _relation(call, checkpoint.newest), sql.Identifier(us)
    schemas = call.rows(
        "SELECT nspname::text AS name FROM pg_namespace WHERE nspname = ANY(%s) AND NOT has_schema_privilege(%s, oid, 'USAGE') ORDER BY 1",
        [[checkpoint.call[0], checkpoint.newest[0]], us],
    )
    into = sql.SQL("GRANT USAGE ON SCHEMA {} TO {}")
    lacks = [(f"looking into {one['name']}", into.format(sql.Identifier(one["name"]), name)) for one in schemas]
    executes = call.rows(f"SELECT has_function_privilege(%s, p.oid, 'EXECUTE') AS may {_FUNCTION}", [us, *checkpoint.call])
    if not executes[0]["may"]:
        lacks.append((f"calling {function.as_string(call.home)}()", sql.SQL("GRANT EXECUTE ON FUNCTION {}() TO {}").format(function, name)))
    may = "SELECT has_table_privilege(%(us)s, %(it)s::oid, 'SELECT') OR has_column_privilege(%(us)s, %(it)s::oid, 'at', 'SELECT') AS may"
    if not call.rows(may, {"us": us, "it": relation})[0]["may"]:
        lacks.append((f"reading {view.as_string(call.home)}", sql.SQL("GRANT SELECT ON {} TO {}").format(view, name)))
    return [(what, how.as_string(call.home)) for what, how in lacks]


_FUNCTION: LiteralString = """
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
   WHERE n.nspname = %s AND p.proname = %s AND p.pronargs = 0 AND p.prokind = 'f'
"""


def _function(call: Call, name: tuple[str, str], role: roles.Role) -> Mapping[str, bool] | None:
    query = f"SELECT p.prosecdef AS definer, pg_has_role(%s::oid, p.proowner, 'MEMBER') AS theirs {_FUNCTION}"
    rows = call.rows(query, [role.oid, *name])
    return rows[0] if rows else None


def _relation(call: Call, name: tuple[str, str]) -> int | None:
    rows = call.rows(
        "SELECT c.oid::bigint AS oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
        [*name],
    )
    return rows[0]["oid"] if rows else None


# All relations that reading one comes to, through whatever views, and what these views use that somebody made: functions, operators, types.
# What came with the server is not recorded there, and belongs to its superuser.
_READ: LiteralString = """
    WITH RECURSIVE read(oid) AS (
        SELECT %(newest)s::oid
        UNION
        SELECT d.refobjid FROM read JOIN pg_rewrite r ON r.ev_class = read.oid
          JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
    ), used AS (
        SELECT d.refclassid, d.refobjid FROM read JOIN pg_rewrite r ON r.ev_class = read.oid
          JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
    )
    SELECT c.oid::regclass::text AS name, pg_has_role(%(role)s::oid, c.relowner, 'MEMBER') AS theirs,
           CASE WHEN c.relkind NOT IN ('r', 'v') THEN 'is neither a plain table nor a view'
                WHEN c.relrowsecurity THEN 'has row-level security'
                WHEN EXISTS (SELECT FROM pg_options_to_table(c.reloptions) o
                              WHERE o.option_name = 'security_invoker' AND o.option_value::boolean)
                THEN 'is a view with security_invoker'
                ELSE '' END AS why
      FROM read JOIN pg_class c USING (oid)
    UNION ALL
    SELECT p.oid::regprocedure::text, pg_has_role(%(role)s::oid, p.proowner, 'MEMBER'), ''
      FROM used JOIN pg_proc p ON refclassid = 'pg_proc'::regclass AND refobjid = p.oid
    UNION ALL
    SELECT o.oid::regoperator::text,
           pg_has_role(%(role)s::oid, o.oprowner, 'MEMBER') OR pg_has_role(%(role)s::oid, p.proowner, 'MEMBER'), ''
      FROM used JOIN pg_operator o ON refclassid = 'pg_operator'::regclass AND refobjid = o.oid JOIN pg_proc p ON p.oid = o.oprcode
    UNION ALL
    SELECT t.oid::regtype::text, pg_has_role(%(role)s::oid, t.typowner, 'MEMBER'), ''
      FROM used JOIN pg_type t ON refclassid = 'pg_type'::regclass AND refobjid = t.oid
     ORDER BY theirs DESC, why DESC, name
"""
