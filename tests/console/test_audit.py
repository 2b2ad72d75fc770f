"""The audit trail's page: sentences, filters, the check of its links and the file to check them with."""

import json

import pytest
from django.db import connection

from accounts import people
from audit import chain
from audit.models import AuditEntry, AuditHead
from core.actor import SYSTEM
from tests import cast, make
from tests.console.doors import HTMX, signed_in, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def house(postgres_plans):
    make.house()
    make.identity("etl_reader")
    make.detected("etl_reader")


def test_an_entry_is_a_sentence_with_its_actor_and_leads_to_the_thing(house):
    page = signed_in("wren").get("/audit/?verb=case.opened")
    assert "Holdfast opened a case about postgres/etl_reader" in words(page)
    case = AuditEntry.objects.get(verb="case.opened").subject.partition(":")[2]
    assert f'href="/cases/{case}/"' in page.content.decode()


def test_the_newest_entry_comes_first_and_pages_leave_none_out(house):
    client, seen, address = signed_in("wren"), [], "/audit/"
    for number in range(60):
        people.add(f"p{number}", name=f"P {number}", roles=[], actor=SYSTEM)
    while address:
        response = client.get(address)
        rows = [line.seq for line in response.context["lines"]]
        assert rows == sorted(rows, reverse=True)
        seen += rows
        further = response.context["turned"].further
        address = f"/audit/{further}" if further else ""
    assert seen == list(range(AuditHead.objects.get().seq, 0, -1))


@pytest.mark.parametrize(
    ("query", "verbs"),
    [
        ("verb=policy.", {"policy.drafted", "policy.approved"}),
        ("verb=policy.drafted", {"policy.drafted"}),
        ("actor=edr", {"detection.received"}),
        ("q=case.opened", {"case.opened"}),
        ("to=2020-01-01T00:00", set()),
    ],
)
def test_the_address_narrows_the_trail(house, query, verbs):
    lines = signed_in("wren").get(f"/audit/?{query}").context["lines"]
    assert {line.verb for line in lines} == verbs


def test_a_reference_finds_everything_about_that_thing_and_nothing_else(house):
    subject = AuditEntry.objects.get(verb="case.opened").subject
    lines = signed_in("wren").get("/audit/", {"q": subject}).context["lines"]
    assert {"case.opened", "decision.made"} <= {line.verb for line in lines}
    assert all(subject in (entry.subject, *entry.about) for entry in AuditEntry.objects.filter(seq__in=[line.seq for line in lines]))


def test_a_moment_that_is_none_is_said_and_narrows_nothing(house):
    response = signed_in("wren").get("/audit/?from=yesterday")
    assert "a moment looks like 2026-11-22T10:00" in words(response)
    assert response.context["lines"]


def test_verify_says_that_every_link_holds_and_that_is_on_record_too(house):
    client = signed_in("wren")
    links = AuditHead.objects.get().seq
    response = client.post("/audit/verify/", headers=HTMX)
    assert f"Every link holds. {links} entries" in words(response)
    assert AuditHead.objects.get().hash not in response.content.decode()  # the head that was checked, not the entry about the check
    assert AuditEntry.objects.order_by("-seq")[0].verb == "audit.verified"


def test_verify_names_the_first_entry_that_does_not_hold(house):
    client = signed_in("wren")
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
        cursor.execute("UPDATE audit_entry SET actor_name = 'Somebody else' WHERE seq = 3")
        cursor.execute("ALTER TABLE audit_entry ENABLE TRIGGER USER")
    assert "The chain is broken at entry 3: one of its fields is not the one that was recorded. The 2 before it hold." in words(
        client.post("/audit/verify/")
    )


def test_an_analyst_sees_who_could_verify_and_is_refused_if_they_try_anyway(house):
    cast.person("wren")
    client = signed_in("ines")
    assert "Verifying the audit trail is for an auditor: Wren could." in words(client.get("/audit/"))
    assert client.post("/audit/verify/").status_code == 403
    assert client.post("/audit/export/").status_code == 403


def test_a_stranger_can_compute_the_chain_again_from_the_export(house):
    response = signed_in("wren").post("/audit/export/")
    lines = [json.loads(line) for line in response.content.decode().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    assert response["Content-Disposition"] == f'attachment; filename="audit-1-{len(lines)}.ndjson"'
    entries = [AuditEntry(**line) for line in lines]
    for entry in entries:
        entry.at = AuditEntry._meta.get_field("at").to_python(entry.at)
    assert chain.first_break(entries, head=AuditHead(seq=len(lines), hash=lines[-1]["hash"])) is None
    assert AuditEntry.objects.order_by("-seq")[0].verb == "audit.exported"


def test_the_export_is_what_the_filters_leave(house):
    response = signed_in("wren").post("/audit/export/?verb=policy.drafted")
    assert [json.loads(line)["verb"] for line in response.content.decode().splitlines()] == ["policy.drafted"]


def test_an_entry_shows_its_body_and_its_link(house):
    entry = AuditEntry.objects.get(verb="decision.made")
    text = words(signed_in("wren").get(f"/audit/{entry.seq}/"))
    assert entry.hash in text
    assert entry.prev in text
    assert json.loads(entry.body)["digest"] in text
    assert signed_in("wren").get("/audit/999999/").status_code == 404
