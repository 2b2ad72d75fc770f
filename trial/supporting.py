"""Supporting cast: identities beside the estate's own work, each there so that one signal can be shown. Part of the trial's inventory.

Those of provider `postgres` are real roles of the estate: what contains them cuts them off, and undo brings them back. The others live in
systems that this trial does not run; what is posted about them stays under every threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from accounts.models import Person
from audit import clock
from audit.record import story
from containment import fingerprints
from containment.models import Credential, Resource, WorkDocument
from trial.inventory import ENVIRONMENT, HERE, SYSTEMS, TENANT, Key, Listed, Work, approve, list_one

IDENTITIES = (
    Listed(
        "stock_sync",
        "Stock synchronisation",
        "data-platform",
        "team",
        workflows=("stock",),
        networks=(f"{HERE}/32",),
    ),
    Listed("partner_export", "Partner export", "data-platform", "team", workflows=("partner-export",), networks=(f"{HERE}/32",)),
    Listed("night_batch", "Night batch", "data-platform", "narrow", workflows=("night-batch",)),
    Listed("backup_operator", "Backup operator (a decoy)", "soc", "narrow", credential=Key("db_role", "backup_operator", planted=True)),
    Listed(
        "shop-api",
        "Storefront",
        "payments",
        "team",
        workflows=("storefront",),
        kind="workload",
        provider="kubernetes",
        networks=("10.20.0.0/16",),
        credential=Key("k8s_service_account", "shop/shop-api"),
        attested={
            "issuer": "https://kubernetes.acme.example",
            "subject": "system:serviceaccount:shop:shop-api",
            "image": ["registry.acme.example/shop-api@sha256:*"],
            "environment": ENVIRONMENT,
        },
    ),
    Listed(
        "release-pipeline",
        "Release pipeline",
        "data-platform",
        "narrow",
        workflows=("release",),
        kind="ci_pipeline",
        provider="github",
        credential=Key("role", "release-pipeline"),
    ),
    Listed(
        "noor.haddad",
        "Noor Haddad, on call",
        "data-platform",
        "team",
        workflows=("on-call",),
        kind="human",
        provider="okta",
        drive="human",
        credential=Key("certificate", "noor.haddad"),
    ),
    Listed(
        "lea.brandt",
        "Lea Brandt, contractor until yesterday",
        "data-platform",
        "narrow",
        workflows=("on-call",),
        kind="human",
        provider="okta",
        drive="human",
        credential=Key("certificate", "lea.brandt", ends_in=timedelta(days=-1)),
    ),
    Listed(
        "purchasing-agent",
        "Purchasing agent",
        "finance-automation",
        "narrow",
        kind="ai_agent",
        provider="holdfast",
        drive="autonomous",
        credential=None,
    ),
    Listed(
        "travel-agent",
        "Travel agent",
        "finance-automation",
        "team",
        kind="ai_agent",
        provider="holdfast",
        drive="autonomous",
        credential=None,
    ),
)
WORK = (
    Work("stock", "stock-keeper", (("data.read", "ingest.*"),)),
    Work("partner-export", "partner-exporter", (("data.read", "reports.*"),)),
    Work("night-batch", "night-batch", (("data.read", "ingest.*"),)),
    Work(
        "storefront",
        "storefront",
        (("data.*", "shop.*"), ("secret.read", "shop.*"), ("message.send", "shop.*")),
    ),
    Work("release", "releaser", (("data.read", "builds.*"), ("code.execute", "builds.*"))),
    Work("on-call", "on-call", (("data.read", "runbooks.*"), ("session.start", "runbooks.*")), drives=("human",)),
    Work(
        "purchasing",
        "buyer",
        (("tool.call", "catalogue.*"), ("tool.call", "orders.*")),
        kind="agent_profile",
        drives=("autonomous",),
        more={
            "tools": [
                {"name": "catalogue.search", "writes": False, "trusted": True},
                {"name": "orders.read", "writes": False},
                {"name": "orders.place", "writes": True},
            ],
            "resources": ["catalogue.*", "orders.*"],
            "systems": ["erp"],
            "bounds": {"orders.place": {"amount": {"max": 500}}},
            "budgets": {"calls_per_hour": 40, "writes_per_session": 5, "money_per_session": 5000},
            "ttl_minutes": 60,
        },
    ),
    Work(
        "travel",
        "travel-clerk",
        (("tool.call", "trips.*"),),
        kind="agent_profile",
        drives=("autonomous",),
        more={
            "tools": [{"name": "trips.search", "writes": False}, {"name": "trips.book", "writes": True}],
            "systems": ["travel-desk"],
            "budgets": {"calls_per_hour": 40},
            "ttl_minutes": 60,
        },
    ),
)
RESOURCES = (  # kind, key, sensitivity, system
    ("table", "reports.month_end", "high", "postgres"),
    ("table", "shop.orders", "moderate", "shop"),
    ("table", "shop.baskets", "low", "shop"),
    ("secret", "shop.mail_key", "low", "shop"),
    ("mailbox", "shop.newsletter", "low", "shop"),
    ("registry", "builds.nightly", "low", "github"),
    ("registry", "registry.push_token", "low", "github"),
    ("page", "runbooks.database", "low", "wiki"),
    ("group", "groups.database-admins", "low", "okta"),
    ("tool", "catalogue.search", "low", "erp"),
    ("tool", "orders.read", "low", "erp"),
    ("tool", "orders.place", "low", "erp"),
    ("tool", "trips.search", "low", "travel-desk"),
    ("tool", "trips.book", "moderate", "travel-desk"),
    ("tool", "mail.forward", "moderate", "mail"),
)


@story
def know_the_passwords(passwords: Mapping[str, str]) -> None:
    """What a report of a leaked password is compared with: a keyed fingerprint over its digest, of every role in the estate."""
    for role, password in passwords.items():
        known = Credential.objects.filter(provider="postgres", kind="db_role", fingerprint=fingerprints.of("db_role", role))
        known.filter(secret_digest="", rotated_at__isnull=True).update(secret_digest=fingerprints.of_secret(password))


@story
def list_them(*, author: Person, approver: Person) -> bool:
    """All of it in one story, unless it was listed before: a trial from before them gets them at its next start."""
    if WorkDocument.objects.filter(name=WORK[0].name).exists():
        return False
    now = clock.now()
    for kind, key, sensitivity, system in RESOURCES:
        Resource.objects.update_or_create(
            kind=kind,
            key=key,
            defaults={
                "sensitivity": sensitivity,
                "environment": ENVIRONMENT,
                "tenant": TENANT,
                "system": system,
                "discovered_at": None,
            },
        )
    for kind, system in SYSTEMS.items():  # a trial from before systems were listed
        Resource.objects.filter(kind=kind, system="").update(system=system)
    for work in WORK:
        approve(work, author=author, approver=approver, now=now)
    for listed in IDENTITIES:
        list_one(listed, owner=author if listed.kind == "ai_agent" else None, now=now)
    return True
