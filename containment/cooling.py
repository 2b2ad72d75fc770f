"""Cool-off: for a while after a person said no, the same does not cut again (sentence 4 of decide).

A no is a hold that people rejected, or a run that a person undid. It follows the identity through merges and aliases. What its case had
found by then counts as known; a signal that is new is asked about again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from approvals.models import GroupMember, Hold
from approvals.models.hold import RAISES
from containment.domain.facts import CoolOffFacts
from containment.models import Decision, Identity
from core.refs import Ref
from playbooks.models import Run

MOST_NOES = 20
MOST_MERGES = 100

_ANY = """
    WITH RECURSIVE all_of_it(id) AS (
        SELECT %(identity)s::uuid UNION SELECT other.id FROM identity AS other JOIN all_of_it ON other.merged_into_id = all_of_it.id
    ), named(ref) AS (SELECT 'identity:' || id FROM all_of_it)
    SELECT EXISTS (SELECT FROM hold WHERE identity_ref IN (SELECT ref FROM named) AND state = 'rejected' AND closed_at > %(since)s
                       AND NOT coalesce(plan ? %(raises)s, false))
        OR EXISTS (SELECT FROM hold_member AS member JOIN hold ON hold.id = member.hold_id
                   WHERE member.identity_ref IN (SELECT ref FROM named) AND hold.state = 'rejected' AND hold.closed_at > %(since)s)
        OR EXISTS (SELECT FROM run WHERE identity_ref IN (SELECT ref FROM named) AND undo_at > %(since)s)
"""


@dataclass(frozen=True, slots=True)
class No:
    """When somebody said it, the word for it, the case it was said in, and the decisions it was said to."""

    at: datetime
    word: str
    case_ref: str
    decisions: QuerySet[Decision]


def cool_off(identity: Identity, now: datetime, span: timedelta) -> CoolOffFacts | None:
    """The last no within the span, and every signal that was known at one of them."""
    since = now - span
    if not _said_at_all(identity, since):
        return None
    keys = _one_and_all(identity)
    refs = [str(Ref.to("identity", key)) for key in keys]
    noes = [*_rejected(refs, since), *_rejected_in_a_group(refs, since), *_undone(refs, since)]
    if not noes:
        return None
    last = max(noes, key=lambda no: no.at)
    codes: set[str] = set()
    generation = 0
    for no in noes:
        answered = list(no.decisions.filter(detection__identity__in=keys).values_list("signals", "generation"))
        generation = max([generation, *(each for _, each in answered)])
        codes |= _fired(signals for signals, _ in answered) | _fired(_of_case(no))
    return CoolOffFacts(at=last.at, word=last.word, codes=frozenset(codes), generation=generation)


def _said_at_all(identity: Identity, since: datetime) -> bool:
    """One short question for the usual case, in which nobody said no."""
    with connection.cursor() as cursor:
        cursor.execute(_ANY, {"identity": identity.pk, "since": since, "raises": RAISES})
        row = cursor.fetchone()
    return bool(row and row[0])


def _rejected(refs: list[str], since: datetime) -> list[No]:
    """A no to the hard stage says nothing against the soft one, which stands."""
    of_runs = Hold.objects.filter(identity_ref__in=refs, state="rejected", closed_at__gt=since).exclude(run_ref="")
    holds = of_runs.exclude(plan__has_key=RAISES).order_by("-closed_at")[:MOST_NOES]
    return [No(hold.closed_at, "rejected", hold.case_ref, hold.decisions.all()) for hold in holds if hold.closed_at]


def _rejected_in_a_group(refs: list[str], since: datetime) -> list[No]:
    members = GroupMember.objects.filter(identity_ref__in=refs, hold__state="rejected", hold__closed_at__gt=since).exclude(state="left")
    last = members.select_related("hold").order_by("-hold__closed_at")[:MOST_NOES]
    return [No(one.hold.closed_at, "rejected", one.case_ref, one.hold.decisions.all()) for one in last if one.hold.closed_at]


def _undone(refs: list[str], since: datetime) -> list[No]:
    said_no = Run.objects.filter(identity_ref__in=refs, undo_by__startswith="person:", undo_at__gt=since)
    runs = said_no.exclude(state="reinstating").order_by("-undo_at")[:MOST_NOES]  # what is still watched on its way back is cut again
    return [No(run.undo_at, "undid", run.case_ref, run.decisions.all()) for run in runs if run.undo_at]


def _of_case(no: No) -> Iterable[Iterable[Mapping[str, Any]]]:
    """The signals of everything decided in its case until then."""
    if not no.case_ref:
        return []
    decisions = Decision.objects.filter(case_id=UUID(Ref.parse(no.case_ref).id), decided_at__lte=no.at)
    return decisions.values_list("signals", flat=True).iterator()


def _fired(found: Iterable[Iterable[Mapping[str, Any]]]) -> set[str]:
    return {signal["code"] for signals in found for signal in signals if signal.get("strength", 0) > 0}


def _one_and_all(identity: Identity) -> list[UUID]:
    """The identity and all that were merged into it: what was said of them was said of it."""
    found, ring = [identity.pk], [identity.pk]
    while ring and len(found) < MOST_MERGES:
        ring = list(Identity.objects.filter(merged_into__in=ring).values_list("pk", flat=True)[:MOST_MERGES])
        found += ring
    return found
