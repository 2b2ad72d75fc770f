"""The trial's past: two weeks of ordinary work that never happened, so that a fresh trial knows what is usual for whom.

It is made up, and the page of scenarios says so. It is the same kind of work as the workloads do and tell, in the order of its time,
learned through the product's own function; from the first start on, only what is really done is learned. No raw activity is made up, and
no decision.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from audit import clock
from audit.record import story
from containment import baselines, inventory, policies
from containment.baselines import Doing
from containment.domain.event import Event
from containment.models import Baseline, Identity, Session
from trial.inventory import SYSTEMS

DAYS = 14
SHORT_DAY = 20  # minutes of work on an ordinary day of the made-up past
LONG_DAY = 16 * 60  # and on its last one, so that a day on which a trial runs for long is usual too


@dataclass(frozen=True, slots=True)
class Deed:
    """Something done again and again: how often in a minute of work."""

    action: str
    kind: str
    resource: str
    per_minute: int = 1
    system: str = ""
    tool: str = ""
    writes: bool | None = None


@dataclass(frozen=True, slots=True)
class Routine:
    """What one session of an identity usually does; without a session, the identity. `long_day`: its last day was one."""

    provider: str
    subject: str
    deeds: tuple[Deed, ...]
    session: str = ""
    long_day: bool = False


def _reads(*tables: str, per_minute: int = 1) -> tuple[Deed, ...]:
    return tuple(Deed("data.read", "table", table, per_minute) for table in tables)


def _calls(*tools: tuple[str, bool], system: str = "") -> tuple[Deed, ...]:
    return tuple(Deed("tool.call", "tool", tool, 10, system, tool, writes) for tool, writes in tools)


ROUTINES = (
    Routine("postgres", "etl_reader", _reads("ingest.batches", per_minute=120), "etl-main", long_day=True),
    Routine("postgres", "payments_writer", (Deed("data.write", "table", "payments.ledger", 60),), "pay-main", long_day=True),
    Routine("postgres", "reports_shared", _reads("reports.sales", per_minute=60), "rep-daily", long_day=True),
    Routine(
        "postgres",
        "reports_shared",
        (*_reads("reports.sales", per_minute=30), *_reads("reports.month_end", per_minute=2)),
        "rep-audit",
        long_day=True,
    ),
    Routine("postgres", "reports_shared", _reads("reports.sales", per_minute=60), "rep-adhoc", long_day=True),
    Routine(
        "postgres",
        "trainer",
        (Deed("data.write", "table", "models.progress", 120), Deed("data.write", "table", "models.checkpoints", 15)),
        "train-7",
        long_day=True,
    ),
    Routine(
        "holdfast",
        "invoice-agent",
        tuple(
            Deed("tool.call", "tool", tool, per_minute, tool=tool, writes=writes)
            for tool, per_minute, writes in (
                ("documents.list", 8, False),
                ("invoices.list", 8, False),
                ("documents.read", 1, False),
                ("payments.book", 1, True),
                ("invoices.read", 15, False),
                ("mail.send", 1, True),
            )
        ),
        long_day=True,
    ),
    Routine("postgres", "stock_sync", _reads("ingest.batches")),
    Routine("postgres", "partner_export", _reads("reports.sales")),
    Routine("postgres", "night_batch", _reads("ingest.batches")),
    Routine(
        "kubernetes",
        "shop-api",
        (Deed("data.read", "table", "shop.orders", 20, "shop"), Deed("data.write", "table", "shop.baskets", 10, "shop")),
    ),
    Routine("github", "release-pipeline", (Deed("code.execute", "registry", "builds.nightly", 1, "github"),)),
    Routine("okta", "noor.haddad", (Deed("data.read", "page", "runbooks.database", 1, "wiki"),)),
    Routine("okta", "lea.brandt", (Deed("data.read", "page", "runbooks.database", 1, "wiki"),)),
    Routine("holdfast", "purchasing-agent", _calls(("catalogue.search", False), ("orders.read", False), system="erp")),
    Routine("holdfast", "travel-agent", _calls(("trips.search", False), ("trips.book", True), system="travel-desk")),
)


@story
def live_through() -> int:
    """How many events were learned. An identity that has a baseline already has a past of its own, and keeps it."""
    policy = policies.document(policies.in_force().text)
    now = clock.now()
    yesterday = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    learned = 0
    for subject in sorted({(one.provider, one.subject) for one in ROUTINES}):
        found = Identity.objects.filter(provider=subject[0], subject=subject[1]).first()
        if found is None or Baseline.objects.filter(identity=found).exists():
            continue
        identity = inventory.lock(found.pk)
        routines = [one for one in ROUTINES if (one.provider, one.subject) == subject]
        doings = [doing for routine in routines for doing in _doings(routine, identity, yesterday)]
        baselines.live_through(doings, policy, now=now)
        learned += len(doings)
    return learned


def _doings(routine: Routine, identity: Identity, yesterday: datetime) -> Iterator[Doing]:
    session = Session.objects.filter(identity=identity, external_id=routine.session).first() if routine.session else None
    use = identity.credential_uses.first()
    for minute in _minutes(routine, yesterday):
        for second, deed in enumerate(routine.deeds):
            yield Doing(
                event=Event(
                    occurred_at=minute + timedelta(seconds=second),
                    action=deed.action,
                    count=deed.per_minute,
                    resource_kind=deed.kind,
                    resource=deed.resource,
                    system=deed.system or SYSTEMS.get(deed.kind, ""),
                    tool=deed.tool,
                    writes=deed.writes,
                    session=str(session.pk) if session else "",
                ),
                identity=identity.pk,
                session=session.pk if session else None,
                role=session.role if session else "",
                workflow=session.workflow if session else "",
                tenant=session.tenant if session else "",
                credential=use.credential_id if use else None,
            )


def _minutes(routine: Routine, yesterday: datetime) -> Iterator[datetime]:
    """Oldest first: a little work at nine on every day, and on the last one from five until nine in the evening."""
    for day in range(DAYS - 1, 0, -1):
        morning = yesterday - timedelta(days=day) + timedelta(hours=9)
        yield from (morning + timedelta(minutes=minute) for minute in range(SHORT_DAY))
    last = yesterday + timedelta(hours=5)
    yield from (last + timedelta(minutes=minute) for minute in range(LONG_DAY if routine.long_day else SHORT_DAY))
