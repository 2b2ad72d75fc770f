"""Can it be done, with the rights that we hold? What is missing comes with the statement that gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import sql

from connectors.base import Ready, Step
from connectors.postgres import grants, roles
from connectors.postgres.client import Call
from connectors.postgres.cuts import Cut


def ready(call: Call, step: Step, cut: Cut, *, acting: str = "") -> Ready:
    """`acting`: who would do it, if that is not the role we ask as."""
    role = roles.named(call, step.target.subject)
    us = roles.acting(call, acting) if acting else roles.ourselves(call)
    if role.name == us["name"]:
        return Ready(False, missing=[f"{role.name} is the role that we work with ourselves"])
    if us["superuser"]:
        return Ready(True, too_much=["We are a superuser here; README.md lists the lesser rights that are enough."])
    lacks = [
        *_for_seeing(call, us["name"]),
        *_for_sessions(call, us["name"], cut),
        *_for_the_role(call, us, role, cut),
        *_for_grants(call, us["name"], role, cut),
    ]
    return Ready(not lacks, missing=[what for what, _ in lacks], remedy=[how for _, how in lacks if how])


Lack = tuple[str, str]


def _for_seeing(call: Call, us: str) -> list[Lack]:
    if _member(call, us, "pg_read_all_stats"):
        return []
    return [("seeing other roles' sessions", _statement(call, "GRANT pg_read_all_stats TO {}", us))]


def _for_sessions(call: Call, us: str, cut: Cut) -> list[Lack]:
    if not (cut.ends or cut.cancels or cut.renews) or _member(call, us, "pg_signal_backend"):
        return []
    return [("ending other roles' sessions", _statement(call, "GRANT pg_signal_backend TO {}", us))]


def _for_the_role(call: Call, us: Mapping[str, Any], role: roles.Role, cut: Cut) -> list[Lack]:
    name = us["name"]
    lacks: list[Lack] = []
    if not (cut.locks or cut.closes or cut.calms or cut.renews):
        return lacks
    if role.superuser:
        lacks.append((f"changing {role.name}, a superuser, which only a superuser may", ""))
    if not us["createrole"]:
        lacks.append(("changing roles", _statement(call, "ALTER ROLE {} CREATEROLE", name)))
    if not call.rows("SELECT pg_has_role(%s, %s::oid, 'USAGE WITH ADMIN OPTION') AS may", [name, role.oid])[0]["may"]:
        lacks.append((f"changing {role.name}", _statement(call, "GRANT {} TO {} WITH ADMIN OPTION, INHERIT FALSE", role.name, name)))
    may_see = call.rows("SELECT has_table_privilege(%s, 'pg_authid', 'SELECT') AS may", [name])[0]["may"]
    if (cut.locks or cut.renews) and not may_see:
        lacks.append(("reading the password verifier that undo puts back", _statement(call, "GRANT SELECT ON pg_authid TO {}", name)))
    return lacks


def _for_grants(call: Call, us: str, role: roles.Role, cut: Cut) -> list[Lack]:
    grantors = sorted({grant.grantor for grant in grants.of(call, role.oid) if cut.takes(grant)})
    may_be = "SET" if call.home.info.server_version >= 160000 else "MEMBER"
    return [
        (f"taking back what {grantor} gave", _statement(call, "GRANT {} TO {}", grantor, us))
        for grantor in grantors
        if not call.rows("SELECT pg_has_role(%s, %s, %s) AS may", [us, grantor, may_be])[0]["may"]
    ]


def _member(call: Call, us: str, role: str) -> bool:
    return bool(call.rows("SELECT pg_has_role(%s, %s, 'USAGE') AS may", [us, role])[0]["may"])


def _statement(call: Call, text: str, *names: str) -> str:
    return sql.SQL(text).format(*(sql.Identifier(name) for name in names)).as_string(call.home)
