"""A leak in the lists and in the case: what no run cuts stays open until a person saw to it, and a list costs the same however long."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audit import clock
from containment import cases, exposures, fingerprints, flow, leaks
from containment.domain import exposure_report
from containment.models import Case, Credential, CredentialUse, Detection, Exposure, Identity
from containment.refusals import NotYetSettled
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)


def credential(of: Identity, name: str) -> Credential:
    made, _ = Credential.objects.get_or_create(
        provider=of.provider,
        kind="db_role",
        fingerprint=fingerprints.of("db_role", name),
        defaults={"name": name, "created_at": clock.now()},
    )
    made.secret_digest = fingerprints.of_secret(f"secret of {name}")
    made.save()
    CredentialUse.objects.get_or_create(credential=made, identity=of)
    return made


def reported(external_id: str, *names: str) -> Exposure:
    message: dict[str, Any] = {
        "external_id": external_id,
        "found_at": "2026-11-22T10:00:00Z",
        "where": "https://git.example/acme/site",
        "credentials": [{"fingerprint": "sha256:" + hashlib.sha256(f"secret of {name}".encode()).hexdigest()} for name in names],
    }
    return exposures.receive(exposure_report.read(message), message, actor=cast.detector()).exposure


def test_a_second_leaked_credential_that_no_run_cuts_keeps_the_case_open_until_it_was_replaced(role, drive):
    make.house()
    etl = make.identity("etl_reader")
    role("etl_reader")
    first, second = credential(etl, "etl_reader"), credential(etl, "etl_other")
    leak = reported("leak-1", first.name, second.name)
    exposures.pass_on(leak.pk)
    for detection in Detection.objects.order_by("received_at"):
        flow.decide(detection.pk)
    verdicts = {one.credential: one.decisions.get() for one in Detection.objects.all()}
    assert verdicts[second].verdict == "covered", verdicts[second].because
    drive(make.run_of(verdicts[first]).pk)
    assert leaks.counts(leaks.members(leak)) == {"needs_person": 1, "cut": 1}
    case = cases.judge(Case.objects.get().pk, "true_positive", "seen in the logs", actor=cast.person("ines"))
    assert [one for one in cases.open_items(case) if "leaked and no run cuts it" in one and str(second) in one]
    with pytest.raises(NotYetSettled, match="etl_other leaked"):
        cases.close(case.pk, actor=cast.person("omar"))
    exposures.replaced(second.pk, "rotated by hand", actor=cast.person("enzo"))
    assert leaks.counts(leaks.members(leak)) == {"cut": 1, "replaced": 1}
    assert cases.open_items(case) == []
    assert cases.close(case.pk, actor=cast.person("omar")).state == "closed"


def test_a_list_of_reports_asks_as_many_questions_for_many_as_for_one_and_looks_at_no_long_one_line_by_line():
    make.house()
    owner = make.identity("owner")
    few = [credential(owner, f"few_{number}") for number in range(3)]
    many = [credential(owner, f"many_{number}") for number in range(leaks.FEW + 1)]
    leak = [reported("a", *(one.name for one in few)), reported("b", few[0].name), reported("c", *(one.name for one in many))]
    for one in leak:
        exposures.pass_on(one.pk)
    with CaptureQueriesContext(
        connection,
    ) as asked_of_one:
        leaks.overviews(leak[:1])
    with CaptureQueriesContext(connection) as asked_of_all:
        found = leaks.overviews(leak)
    assert len(asked_of_all) == len(asked_of_one) <= 4
    assert [found[one.pk] for one in leak] == [{"waiting": 3}, {"waiting": 1}, {"passed_on": leaks.FEW + 1}]
    with CaptureQueriesContext(connection) as asked_of_long:
        leaks.overviews(leak[2:])
    assert len(asked_of_long) == 1
