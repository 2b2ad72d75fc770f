"""One signal each: the nineteen reasons for suspicion, brought about from outside through the API alone, one scenario for every code.

Most of them stay at *watch*: one signal is seldom enough, and the page of the decision shows what it weighs. Those that lead to a
containment do it to a real role of the estate or a real session, and undo brings it back. Whatever has to be new each time (a session, a
table nobody has seen) gets a name of its own, so that each can be played again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

from trial.scenarios.base import Access, Outcome, Scenario, database_role, identity
from trial.scenarios.through_api import Answer, Holdfast, Refused, now, visit

Play = Callable[[Holdfast, str], tuple[list[str], Answer]]  # what happened, and the API's answer about the detection

QUIET: Mapping[str, Any] = {"severity": "low", "confidence": 0.5}  # a source that hardly suspects anything: what fires is our own finding
SHOP = identity("shop-api", kind="workload", provider="kubernetes")
NOOR = identity("noor.haddad", kind="human", provider="okta")
LEA = identity("lea.brandt", kind="human", provider="okta")
PIPELINE = identity("release-pipeline", kind="ci_pipeline", provider="github")
BUYER = identity("purchasing-agent", kind="ai_agent", provider="holdfast")
TRAVEL = identity("travel-agent", kind="ai_agent", provider="holdfast")
DAYS_TOLD, MINUTES_TOLD = 14, 20
ORDER = "Reorder 20 boxes of paper from Larch Paper for at most 200 EUR."


def table(name: str, system: str = "") -> dict[str, str]:
    return {"kind": "table", "id": name} | ({"system": system} if system else {})


def act(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "count": 1, **more}


def tool(name: str) -> dict[str, str]:
    return {"kind": "tool", "id": name, "system": name.partition(".")[0]}


# -- claim and scope ----------------------------------------------------------------------------------------------------------------------


def source_claim(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    answer = holdfast.detect(
        name,
        title="Something about this session looks odd",
        identity=identity("etl_reader"),
        session={"id": "etl-main"},
        action=act("data.read"),
        resource=table("ingest.batches"),
    )
    return ["Posted a detection about etl-main, severity high, confidence 0.9, in which nothing else is wrong."], answer


def unexpected_secret_read(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    answer = holdfast.detect(
        name,
        title="Signing keys read by the stock synchronisation",
        claims=["unexpected_secret_read"],
        identity=identity("stock_sync"),
        credential=database_role("stock_sync"),
        action=act("secret.read"),
        resource=table("vault.signing_keys"),
        source_ip="127.0.0.1",
    )
    return ["Reported that stock_sync read vault.signing_keys; its approved work is to read ingest.*, and nothing else."], answer


def token_mint(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    answer = holdfast.detect(
        name,
        title="A build step minted a token",
        identity=PIPELINE,
        action=act("token.mint"),
        resource={"kind": "registry", "id": "registry.push_token"},
        **QUIET,
    )
    return ["Reported that release-pipeline minted registry.push_token; its workflow is approved to build, not to mint."], answer


def privilege_change(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    answer = holdfast.detect(
        name,
        title="Somebody on call joined the database administrators",
        identity=NOOR,
        action=act("privilege.change"),
        resource={"kind": "group", "id": "groups.database-admins"},
        **QUIET,
    )
    return ["Reported that noor.haddad added herself to groups.database-admins; played again within the hour it weighs more."], answer


def role_confusion(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    answer = holdfast.detect(
        name,
        title="The ingest reader wrote",
        identity=identity("etl_reader"),
        session={"id": "etl-main"},
        action=act("data.write"),
        resource=table("ingest.batches"),
        **QUIET,
    )
    return ["Reported that etl-main wrote to ingest.batches; the role nightly-ingest is for reading."], answer


# -- behaviour ----------------------------------------------------------------------------------------------------------------------------


def first_access(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    archive = f"shop.archive_{secrets.token_hex(3)}"
    answer = holdfast.detect(
        name,
        title="The storefront reads an archive",
        identity=SHOP,
        action=act("data.read"),
        resource=table(archive, "shop"),
        **QUIET,
    )
    return [f"Reported that shop-api read {archive}, a table that nobody classified and that it never used before."], answer


def volume(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    """Of a job of its own each time, so that yesterday's play is no part of what is usual today."""
    job = identity(f"price-check-{secrets.token_hex(3)}", kind="workload", provider="kubernetes")
    does: dict[str, Any] = {"identity": job, "action": {"name": "data.read", "count": 30}, "resource": table("shop.baskets", "shop")}
    for days in range(DAYS_TOLD, 0, -1):
        morning = timedelta(days=days)
        holdfast.tell(*(does | {"occurred_at": now(ago=morning - timedelta(minutes=minute))} for minute in range(MINUTES_TOLD)))
    answer = holdfast.detect(
        name,
        title="A job reads very many baskets",
        **does | {"action": {"name": "data.read", "count": 20_000}},
        **QUIET,
    )
    return [
        f"Told the activity feed two weeks of a new job's work: 30 reads in each of {DAYS_TOLD * MINUTES_TOLD} minutes.",
        "Reported 20,000 reads of it within a minute.",
    ], answer


def tool_chain(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    with holdfast.session(SHOP, "shop") as session:
        here: dict[str, Any] = {"identity": SHOP, "session": {"id": session["name"]}}
        holdfast.tell({**here, "action": act("secret.read"), "resource": {"kind": "secret", "id": "shop.mail_key", "system": "shop"}})
        answer = holdfast.detect(
            name,
            title="A secret was read, then a message sent",
            action=act("message.send"),
            resource={"kind": "mailbox", "id": "shop.newsletter", "system": "shop"},
            **here,
            **QUIET,
        )
    return [
        "Told the activity feed that a session of shop-api read shop.mail_key, which it may.",
        "Reported that the same session then sent a message, which it may too. The policy names the two in a row as dangerous.",
    ], answer


def cross_system(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    elsewhere = f"partner-{secrets.token_hex(3)}"
    with holdfast.session(SHOP, "shop") as session:
        here: dict[str, Any] = {"identity": SHOP, "session": {"id": session["name"]}}
        holdfast.tell({**here, "action": act("data.read"), "resource": table("shop.orders", "shop")})
        answer = holdfast.detect(
            name,
            title="The storefront went on to a partner's system",
            action=act("data.write"),
            resource={"kind": "bucket", "id": f"shop.drop_{elsewhere}", "system": elsewhere},
            **here,
            **QUIET,
        )
    return [
        "Told the activity feed that a session of shop-api read shop.orders in shop.",
        f"Reported that the same session then wrote into {elsewhere}, a system that no approved workflow joins with shop.",
    ], answer


# -- identity -----------------------------------------------------------------------------------------------------------------------------


def identity_violation(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    answer = holdfast.detect(
        name,
        title="The storefront runs from an unknown image",
        identity=SHOP,
        action=act("data.read"),
        resource=table("shop.baskets", "shop"),
        workload={"issuer": "https://kubernetes.acme.example", "image": "docker.io/somebody/shop-api:latest"},
        **QUIET,
    )
    return ["Reported that shop-api presents itself with an image that does not come from the registry of acme."], answer


def drive_mismatch(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    account = identity("night_batch")
    origin = {"address": "127.0.0.1", "application": "psql"}
    with holdfast.session(account, "by-hand", drive="human", origin=origin) as session:
        answer = holdfast.detect(
            name,
            title="Somebody types into the night batch's session",
            identity=account,
            session={"id": session["name"]},
            action=act("data.read"),
            resource=table("ingest.batches"),
            **QUIET,
        )
    return [
        "Registered a session of night_batch, a script's account, that a person on call drives with psql.",
        "Reported what it read.",
    ], answer


# -- credential ---------------------------------------------------------------------------------------------------------------------------


def credential_exposed(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    leaked = holdfast.access["estate"]["roles"]["partner_export"]
    answer = holdfast.expose(
        name,
        where="https://paste.example/3f9a",
        credentials=[{"kind": "db_role", "provider": "postgres", "fingerprint": f"sha256:{sha256(leaked.encode()).hexdigest()}"}],
    )
    return ["Reported that the password of partner_export stands on a public page: its SHA-256, never the password itself."], answer


def credential_shared(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    answer = holdfast.detect(
        name,
        title="A credential with several users was used",
        identity=identity("reports_shared"),
        session={"id": "rep-daily"},
        credential=database_role("reports_shared"),
        action=act("data.read"),
        resource=table("reports.sales"),
        **QUIET,
    )
    return ["Reported an ordinary read of rep-daily; its password is shared by the workflows daily, audit and adhoc."], answer


def session_ttl(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    answer = holdfast.detect(
        name,
        title="A contractor's certificate is used after its end",
        identity=LEA,
        credential={"kind": "certificate", "id": "lea.brandt"},
        action=act("session.start"),
        resource={"kind": "page", "id": "runbooks.database"},
        **QUIET,
    )
    return ["Reported that lea.brandt signed in with a certificate that had ended the day before this trial began."], answer


def honeytoken(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    answer = holdfast.detect(
        name,
        title="The backup operator logged in",
        identity=identity("backup_operator"),
        credential=database_role("backup_operator"),
        action=act("session.start"),
        resource={"kind": "database", "id": "estate"},
        source_ip="203.0.113.80",
        **QUIET,
    )
    return ["Reported a login of backup_operator, a role that was planted in the estate as a decoy: nobody has business with it."], answer


# -- intent -------------------------------------------------------------------------------------------------------------------------------


def intent_tool(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    intent = {"profile": "travel", "task": "Find a train from Lund to Oslo on Friday morning."}
    session = _paused_or_new(holdfast, TRAVEL, intent)
    answer = holdfast.detect(
        name,
        title="A travel agent forwards mail",
        identity=TRAVEL,
        session={"id": session["name"]},
        action=act("tool.call", tool="mail.forward", writes=True, arguments={"folder": "inbox"}),
        resource={"kind": "tool", "id": "mail.forward"},
        **QUIET,
    )
    return [
        "Registered a session of travel-agent with the task to find a train, inside the approved profile travel.",
        "Reported that it called mail.forward, which the profile does not name.",
    ], answer


def intent_resource(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    arguments = {"supplier": "Larch Paper", "amount": 940}
    return _buys(
        holdfast,
        name,
        "An order far above its bound",
        arguments,
        [f"Reported an order over 940; the profile allows 500. The task: “{ORDER}”"],
    )


def intent_budget(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    arguments = {"supplier": "Larch Paper", "amount": 20}
    happened = ["Told the activity feed of five orders of this session, as many as its profile allows.", "Reported the sixth."]
    return _buys(holdfast, name, "One order more than allowed", arguments, happened, before=5)


def intent_environment(holdfast: Holdfast, name: str) -> tuple[list[str], Answer]:
    arguments = {"supplier": "Larch Paper", "amount": 20}
    happened = ["Reported an order in the environment staging; the session was registered for prod."]
    return _buys(holdfast, name, "An order in another environment", arguments, happened, environment="staging")


def _buys(
    holdfast: Holdfast,
    name: str,
    title: str,
    arguments: Mapping[str, Any],
    happened: list[str],
    *,
    before: int = 0,
    environment: str = "prod",
) -> tuple[list[str], Answer]:
    """A fresh session of the purchasing agent with a task, what it did before, and the call that is reported."""
    intent = {"profile": "purchasing", "task": ORDER, "environments": ["prod"]}
    with holdfast.session(BUYER, "purchase", intent=intent) as session:
        call: dict[str, Any] = {
            "identity": BUYER,
            "session": {"id": session["name"]},
            "action": act("tool.call", tool="orders.place", writes=True, arguments=arguments),
            "resource": {"kind": "tool", "id": "orders.place", "system": "erp"},
        }
        if before:
            holdfast.tell(*(call | {"occurred_at": now(ago=timedelta(seconds=before - number))} for number in range(before)))
        answer = holdfast.detect(name, title=title, environment=environment, **call, **QUIET)
    return ["Registered a session of purchasing-agent with a task, inside the approved profile purchasing.", *happened], answer


def _paused_or_new(holdfast: Holdfast, agent: Mapping[str, str], intent: Mapping[str, Any]) -> Answer:
    """A contained agent opens no new session; then the one that was paused is asked about again. It is left open, for whoever undoes it."""
    try:
        return holdfast.begin(agent, "trip", intent=intent)
    except Refused as no:
        paused = holdfast.first(f"/api/v1/sessions?provider={agent['provider']}&subject={agent['subject']}&state=paused")
        if no.code != "identity_contained" or paused is None:
            raise
        return paused


# -- the list -----------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Shown:
    code: str
    title: str
    posted: str
    expected: str
    expect: str
    play: Play


def _scenario(shown: _Shown) -> Scenario:
    name = f"signal-{shown.code.replace('_', '-')}"

    def run(access: Access) -> Outcome:
        with visit(access) as holdfast:
            happened, answer = shown.play(holdfast, name)
        return Outcome(name, happened, [], answer)

    return Scenario(name, shown.title, f"{shown.posted} {shown.expected}", shown.expect, run, signal=shown.code)


WATCHED = "The risk stays under the soft threshold."
SHOWN = (
    _Shown("source_claim", "A source reports something", "A detection about work that is in order.", WATCHED, "watch", source_claim),
    _Shown(
        "unexpected_secret_read",
        "A secret outside the approved work",
        "stock_sync reads signing keys that its workflow has nothing to do with.",
        "The role is cut off in the estate, and undo brings it back.",
        "contain",
        unexpected_secret_read,
    ),
    _Shown("token_mint", "A token that nobody asked for", "A release pipeline mints a push token.", WATCHED, "watch", token_mint),
    _Shown("privilege_change", "More rights", "A person on call joins the database administrators.", WATCHED, "watch", privilege_change),
    _Shown("role_confusion", "A role outside its purpose", "The ingest reader writes.", WATCHED, "watch", role_confusion),
    _Shown("first_access", "Never used before", "The storefront reads an archive that it never touched.", WATCHED, "watch", first_access),
    _Shown("volume", "Far more than usual", "A job that reads 30 baskets a minute reads 20,000.", WATCHED, "watch", volume),
    _Shown(
        "tool_chain",
        "Two harmless steps in a dangerous order",
        "One session reads a secret, then sends a message.",
        WATCHED,
        "watch",
        tool_chain,
    ),
    _Shown(
        "cross_system",
        "From one system into another",
        "One session reads in the shop's database, then writes at a partner's.",
        WATCHED,
        "watch",
        cross_system,
    ),
    _Shown(
        "identity_violation",
        "Not the workload that it says it is",
        "The storefront presents an image from elsewhere.",
        WATCHED,
        "watch",
        identity_violation,
    ),
    _Shown(
        "drive_mismatch", "A person with a script's account", "Somebody on call uses night_batch by hand.", WATCHED, "watch", drive_mismatch
    ),
    _Shown(
        "credential_exposed",
        "A leaked password",
        "The password of partner_export is reported leaked, and its fingerprint fits.",
        "That is conclusive: the password is revoked before anybody uses it.",
        "contain",
        credential_exposed,
    ),
    _Shown(
        "credential_shared",
        "One credential, several users",
        "An ordinary read with a password that three reports share.",
        WATCHED,
        "watch",
        credential_shared,
    ),
    _Shown("session_ttl", "Beyond its time", "A contractor signs in with a certificate that has ended.", WATCHED, "watch", session_ttl),
    _Shown(
        "honeytoken",
        "The decoy is used",
        "Somebody logs in as backup_operator, which was planted.",
        "That is conclusive: the role is cut off, whatever the risk.",
        "contain",
        honeytoken,
    ),
    _Shown(
        "intent_tool",
        "A tool outside the task",
        "A travel agent forwards mail.",
        "Its session is paused, and undo lets it go on.",
        "contain",
        intent_tool,
    ),
    _Shown(
        "intent_resource",
        "An argument out of bounds",
        "A purchasing agent orders for more than was approved.",
        WATCHED,
        "watch",
        intent_resource,
    ),
    _Shown(
        "intent_budget",
        "More than its budget",
        "A purchasing agent places a sixth order where five were approved.",
        WATCHED,
        "watch",
        intent_budget,
    ),
    _Shown("intent_environment", "In the wrong environment", "A purchasing agent acts in staging.", WATCHED, "watch", intent_environment),
)
SIGNALS: Mapping[str, Scenario] = {scenario.name: scenario for scenario in map(_scenario, SHOWN)}
