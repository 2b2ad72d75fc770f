"""What can be read: one thing by its id, or a list of them. Everything that is shown is in shapes.py."""

from __future__ import annotations

from django.db.models import Prefetch
from drf_spectacular.types import OpenApiTypes

from api.lists import Filter, Listing, One, by_flag, by_id, by_ref, by_text, number
from api.v1 import shapes
from approvals.models import AccessRequest, Answer, Hold
from audit.models import AuditEntry
from containment.models import Case, Decision, Detection, Identity
from playbooks.models import Run

MOST_WAITING = 100  # calls that wait for one hold, in the answer about it
_DECISIONS = Prefetch("decisions", Decision.objects.select_related("policy", "case", "run", "hold"))
DETECTIONS = Detection.objects.select_related("source", "identity", "session", "credential", "resource").prefetch_related(_DECISIONS)
DECISIONS = Decision.objects.select_related("policy")
CASES = Case.objects.select_related("identity")
RUNS = Run.objects.select_related("playbook").prefetch_related("steps")
HOLDS = Hold.objects.prefetch_related(
    Prefetch("answers", Answer.objects.select_related("person")),
    Prefetch("requests", AccessRequest.objects.filter(state="pending").order_by("asked_at", "id")[:MOST_WAITING], to_attr="waiting"),
)
IDENTITIES = Identity.objects.select_related("owner")


class OneDetection(One):
    rows, shape = DETECTIONS, shapes.DetectionShape


class Decisions(Listing):
    rows, shape = DECISIONS, shapes.DecisionShape
    filters = {
        "verdict": by_text("verdict", "watch, covered, exempt, contain or hold"),
        "identity": by_id("detection__identity_id"),
        "case": by_id("case_id"),
        "detection": by_id("detection_id"),
    }


class OneDecision(One):
    rows, shape = DECISIONS, shapes.DecisionShape


class Cases(Listing):
    rows, shape = CASES, shapes.CaseShape
    filters = {"state": by_text("state", "open, contained, recovering or closed"), "identity": by_id("identity_id")}


class OneCase(One):
    rows, shape = CASES, shapes.WholeCaseShape


class Runs(Listing):
    rows, shape = RUNS, shapes.RunShape
    filters = {"state": by_text("state"), "identity": by_ref("identity_ref", "identity"), "case": by_ref("case_ref", "case")}


class OneRun(One):
    rows, shape = RUNS, shapes.RunShape


class Holds(Listing):
    rows, shape = HOLDS, shapes.HoldShape
    filters = {
        "state": by_text("state", "open, approved, rejected, lapsed, withdrawn or superseded"),
        "identity": by_ref("identity_ref", "identity"),
        "case": by_ref("case_ref", "case"),
        "run": by_ref("run_ref", "run"),
        "grouped": by_flag("grouped", "about many at once"),
    }


class OneHold(One):
    rows, shape = HOLDS, shapes.HoldShape


class Identities(Listing):
    rows, shape = IDENTITIES, shapes.IdentityShape
    filters = {
        "kind": by_text("kind"),
        "provider": by_text("provider"),
        "subject": by_text("subject"),
        "environment": by_text("environment"),
        "protected": by_flag("protected"),
        "ownerless": by_flag("owner_id__isnull", "nobody owns it but the fallback group"),
    }


class OneIdentity(One):
    rows, shape = IDENTITIES, shapes.IdentityShape


class AuditTrail(Listing):
    needs = {"GET": "audit.read"}
    rows, shape = AuditEntry.objects.all(), shapes.AuditShape
    key, key_filter = "seq", Filter("", number, OpenApiTypes.INT)
    filters = {
        "verb": by_text("verb"),
        "actor": by_text("actor", "as in person:0190…"),
        "subject": by_text("subject", "as in run:0190…"),
    }
