"""What people type for a reason: too long, or nothing that can be kept, it is refused in words, and never fails."""

from pathlib import Path

import pytest

from audit.models import AuditEntry
from console import pages
from containment import protection, taken
from containment.lockout import ADMINISTERS
from containment.models import ProtectionProposal, Taken
from playbooks import switch
from tests import cast, make
from tests.console.doors import HTMX, signed_in, words

pytestmark = pytest.mark.django_db
BAD = pytest.mark.parametrize(("reason", "says"), [("a\0b", "Null characters are not allowed."), ("x" * 2001, "At most 2000 characters.")])


@BAD
def test_turning_the_switch_with_such_a_reason_is_refused_in_words(reason, says):
    page = signed_in("mara").post("/switch/turn/", {"position": "nothing", "reason": reason}, follow=True)
    assert says in page.content.decode()
    assert switch.position() == "off"


@BAD
def test_declining_a_proposal_with_such_a_reason_is_refused_in_words(reason, says):
    protection._keep("postgres", {"dba": ADMINISTERS})
    row = ProtectionProposal.objects.get()
    page = signed_in("ada").post(f"/connectors/proposals/{row.pk}/decline/", {"reason": reason}, follow=True)
    assert says in words(page)
    row.refresh_from_db()
    assert row.state == "open"


@BAD
def test_asking_to_undo_many_with_such_a_reason_shows_the_form_again(reason, says):
    make.house()
    page = signed_in("mara").post("/mass-undo/ask/", {"policy_version": "1", "reason": reason})
    assert (page.status_code, says in words(page)) == (422, True)


@pytest.mark.usefixtures("postgres_plans")
@pytest.mark.parametrize("reason", ["a\0b", "x" * (taken.LONGEST_REASON + 1), " "])
def test_what_was_taken_is_not_settled_with_such_a_reason(reason):
    make.house()
    make.identity("etl_reader")
    case = make.detected("etl_reader").case
    assert case is not None
    line = Taken.objects.create(case=case, kind="secret_read", key="k", said="read", first_at=case.opened_at, found_at=case.opened_at)
    sent = {"state": "cleared", "reason": reason}
    assert signed_in("mara").post(f"/cases/{case.pk}/taken/{line.pk}/", sent, headers=HTMX).status_code == 422
    line.refresh_from_db()
    assert line.state == "open"


def test_why_a_proposal_is_declined_is_kept_without_its_secrets():
    protection._keep("postgres", {"dba": ADMINISTERS})
    said = protection.decline(ProtectionProposal.objects.get().pk, "password=hunter2hunter2", actor=cast.person("ada"))
    entry = AuditEntry.objects.get(verb="protection.declined", subject=str(said.ref))
    assert "hunter2" not in entry.body


def test_no_page_takes_a_reason_past_its_form():
    raw = [path.name for path in Path(pages.__file__).parent.glob("*.py") if 'POST.get("reason"' in path.read_text()]
    assert raw == ["mass_undo.py"], "mass_undo shows again what was typed; every other page asks console.deeds.reason_of"
