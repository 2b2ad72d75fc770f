"""What each measure cuts. The connector carries every cut out in the same way: see, change, end sessions, prove, put back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connectors.base import Measure, Rejected
from connectors.postgres.grants import DEFAULTS, Grant
from connectors.postgres.reach import WRITES, Reach

NOTHING_SPARED: tuple[str, ...] = ()


def _no_grant(_: Grant) -> bool:
    return False


def _no_reach(_: Reach) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Cut:
    """`closes`: connection limit 0. `locks`: no login, no password. `takes`: which privileges go. `leaves`: which reach would be left over.
    `ends`: sessions are ended, all of them or, if `earlier_only`, those begun before the first look. `calms`: transactions are read-only
    unless they ask otherwise. `renews`: the password is another one afterwards."""

    closes: bool = False
    locks: bool = False
    takes: Callable[[Grant], bool] = _no_grant
    leaves: Callable[[Reach], bool] = _no_reach
    cancels: bool = False
    ends: bool = False
    earlier_only: bool = False
    calms: bool = False
    renews: bool = False

    @property
    def is_about_privileges(self) -> bool:
        return self.takes is not _no_grant and self.leaves is not _no_reach


def of(measure: Measure, parameters: Mapping[str, Any]) -> Cut:
    match measure:
        case Measure.SESSION_PAUSE:
            return Cut(closes=True, takes=_but_the_way_in, leaves=lambda _: True, cancels=True)
        case Measure.SESSION_RESTRICT:
            mode = str(parameters.get("mode") or "outside_schemas")
            takes, leaves = _restriction(_schemas(parameters), mode)
            calms = mode == "read_only"
            return Cut(closes=not parameters.get("allow_new_sessions", calms), takes=takes, leaves=leaves, calms=calms)
        case Measure.SESSION_TERMINATE:
            return Cut(ends=True, earlier_only=True)
        case Measure.CREDENTIAL_REVOKE:
            return Cut(locks=True, ends=True)
        case Measure.CREDENTIAL_ROTATE:
            return Cut(renews=True)
        case Measure.WORKLOAD_ISOLATE:
            return Cut(closes=True, takes=_the_way_in, ends=True)
        case Measure.EVIDENCE_PRESERVE | Measure.JOB_CHECKPOINT:
            return Cut()
    raise Rejected(f"{measure.value} is not something that can be done to a PostgreSQL role.")


def _the_way_in(grant: Grant) -> bool:
    return grant.kind == "database" and grant.privilege == "CONNECT"


def _but_the_way_in(grant: Grant) -> bool:
    """A live session feels nothing of CONNECT, and the limit keeps new ones out."""
    return not _the_way_in(grant)


def _restriction(schemas: Sequence[str], mode: str) -> tuple[Callable[[Grant], bool], Callable[[Reach], bool]]:
    spared = frozenset(schemas)
    if mode == "outside_schemas":
        return (lambda grant: not _belongs_to_connecting(grant) and grant.schema not in spared), (lambda reach: reach.schema not in spared)
    if mode in ("write", "read_only"):
        return (lambda grant: _writes(grant) and grant.schema not in spared), (lambda reach: reach.writes() and reach.schema not in spared)
    raise Rejected(f"`mode` is outside_schemas, write or read_only, not {mode!r}.")


def _belongs_to_connecting(grant: Grant) -> bool:
    return grant.kind == "database" and grant.privilege in ("CONNECT", "TEMPORARY")


def _writes(grant: Grant) -> bool:
    """Using a schema, a type or a language writes nothing, nor does a routine that runs with the caller's own rights."""
    match grant.kind.removeprefix(DEFAULTS):
        case "routine":
            return grant.definer
        case "routines":
            return True
        case "type" | "types" | "language" | "parameter":
            return False
        case "schema" | "schemas" | "database" | "tablespace":
            return grant.privilege == "CREATE"
        case "sequence" | "sequences":
            return grant.privilege in ("USAGE", "UPDATE")
    return grant.privilege in WRITES


def _schemas(parameters: Mapping[str, Any]) -> Sequence[str]:
    schemas = parameters.get("schemas") or NOTHING_SPARED
    if isinstance(schemas, str) or not isinstance(schemas, Sequence) or not all(isinstance(name, str) for name in schemas):
        raise Rejected("`schemas` is a list of schema names.")
    return schemas
