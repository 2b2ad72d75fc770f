"""The PostgreSQL connector keeps the contract, for every measure, on roles that really log in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.connectors.contract import Cutting, Ending, PuttingBack, RestoringByHand, Scene, nothing
from tests.connectors.people import PASSWORD, Town

TAKE_ALL = (
    'REVOKE ALL ON SCHEMA payments, "The Vault" FROM "{w}"',
    'REVOKE ALL ON ALL TABLES IN SCHEMA payments, "The Vault" FROM "{w}"',
    'REVOKE ALL ON ALL SEQUENCES IN SCHEMA "The Vault" FROM "{w}"',
    'REVOKE ALL ON ALL FUNCTIONS IN SCHEMA "The Vault" FROM "{w}"',
    'ALTER DEFAULT PRIVILEGES IN SCHEMA "The Vault" REVOKE ALL ON TABLES FROM "{w}"',
    'SET ROLE "{d}"; REVOKE SELECT ON "The Vault".cards FROM "{w}"; RESET ROLE',
    'REVOKE TEMPORARY ON DATABASE "{db}" FROM "{w}"',
)
LIMIT_0 = 'ALTER ROLE "{w}" CONNECTION LIMIT 0'
END_ALL = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '{w}'"
REGRANTED = 'GRANT EXECUTE ON FUNCTION "The Vault".open(int) TO "{w}" WITH GRANT OPTION'

# measure, parameters, what somebody else does to bring it about, what somebody else changes afterwards
MEASURES: dict[str, tuple[str, dict[str, Any], tuple[str, ...], str]] = {
    "pause": ("session.pause", {}, (*TAKE_ALL, LIMIT_0), 'ALTER ROLE "{w}" CONNECTION LIMIT 7'),
    "restrict to schemas": (
        "session.restrict",
        {"schemas": ["payments"], "allow_new_sessions": True},
        (*TAKE_ALL, 'GRANT USAGE ON SCHEMA payments TO "{w}"'),
        REGRANTED,
    ),
    "restrict to reading": ("session.restrict", {"mode": "write"}, (*TAKE_ALL, LIMIT_0), 'ALTER ROLE "{w}" CONNECTION LIMIT 3'),
    "read only": ("session.restrict", {"mode": "read_only"}, TAKE_ALL, 'ALTER ROLE "{w}" SET default_transaction_read_only = false'),
    "revoke": ("credential.revoke", {}, ('ALTER ROLE "{w}" NOLOGIN', END_ALL), "ALTER ROLE \"{w}\" PASSWORD 'somebody elses'"),
    "isolate": (
        "workload.isolate",
        {},
        (LIMIT_0, 'REVOKE CONNECT ON DATABASE "{db}" FROM "{w}"', END_ALL),
        'GRANT CONNECT ON DATABASE "{db}" TO "{w}" WITH GRANT OPTION',
    ),
}
TERMINATE: dict[str, tuple[str, dict[str, Any], tuple[str, ...], str]] = {"terminate": ("session.terminate", {}, (END_ALL,), "")}


def _scene(town: Town, name: str) -> Scene:
    measure, parameters, contain, meddle = (MEASURES | TERMINATE)[name]
    town.work()

    def filled(*statements: str) -> Callable[[], None]:
        return lambda: town.do(*(one.format(w=town.worker, d=town.deputy, db=town.name) for one in statements))

    verifier = town.ask(f"SELECT rolpassword FROM pg_authid WHERE rolname = '{town.worker}'")[0][0]
    return Scene(
        connector=town.connector,
        step=town.step(measure, **parameters),
        contain=filled(*contain),
        meddle=filled(meddle) if meddle else nothing,
        secrets=[PASSWORD, verifier, verifier.rpartition("$")[2], "SCRAM-SHA-256$"],
        type_in=town.type_in,
        as_was=town.on_record,
    )


class TestWhatItCuts(Cutting):
    @pytest.fixture(params=[*MEASURES, *TERMINATE])
    def scene(self, request: pytest.FixtureRequest, town: Town) -> Scene:
        return _scene(town, request.param)


class TestWhatItEnds(Ending):
    @pytest.fixture(params=[*TERMINATE])
    def scene(self, request: pytest.FixtureRequest, town: Town) -> Scene:
        return _scene(town, request.param)


class TestWhatItPutsBack(PuttingBack):
    @pytest.fixture(params=[*MEASURES])
    def scene(self, request: pytest.FixtureRequest, town: Town) -> Scene:
        return _scene(town, request.param)


class TestByHand(RestoringByHand):
    @pytest.fixture(params=[*MEASURES])
    def scene(self, request: pytest.FixtureRequest, town: Town) -> Scene:
        return _scene(town, request.param)
