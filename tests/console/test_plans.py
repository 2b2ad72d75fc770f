"""Playbooks and the policy: read by all, written by one, approved by another who saw exactly that text."""

import pytest

from accounts import people
from containment import policies
from core.actor import SYSTEM
from playbooks.models import PlaybookVersion
from tests import make
from tests.console.doors import signed_in, words

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def house(postgres_plans):
    make.house()


def playbook(name="service-account"):
    return PlaybookVersion.objects.get(name=name, state="in_force")


def next_playbook():
    return playbook().text.replace("title: Contain a service account", "title: Contain it well")


def next_policy():
    return policies.in_force().text.replace("service_account, soft: 40", "service_account, soft: 35")


def test_playbooks_in_force_are_drawn_stage_by_stage():
    text = words(signed_in("wren").get("/playbooks/"))
    assert "Contain a service account service-account v1" in text
    assert "Hard ends it Preserve the evidence : waits. within 2 s, or go on without it Revoke the credential" in text


def test_one_playbook_shows_its_exact_text_and_what_silence_means():
    version = playbook()
    response = signed_in("wren").get(f"/playbooks/{version.pk}/")
    assert version.digest in words(response)
    assert "2 people decide; if nobody answers: release" in words(response)
    assert "kinds: [service_account]" in response.content.decode()


def test_a_draft_begins_from_the_version_it_follows():
    client = signed_in("enzo")
    version = playbook()
    assert "title: Contain a service account" in client.get(f"/playbooks/draft/?from={version.pk}").content.decode()


def test_an_engineer_drafts_and_a_manager_approves_the_text_on_screen():
    response = signed_in("enzo").post("/playbooks/draft/", {"text": next_playbook().replace("\n", "\r\n")})
    drafted = PlaybookVersion.objects.get(state="draft")
    assert response["Location"] == f"/playbooks/{drafted.pk}/"
    assert "\r" not in drafted.text
    mara = signed_in("mara")
    mara.post(f"/playbooks/{drafted.pk}/approve/", {"digest": "sha256:" + "0" * 64})
    drafted.refresh_from_db()
    assert drafted.state == "draft"
    mara.post(f"/playbooks/{drafted.pk}/approve/", {"digest": drafted.digest})
    drafted.refresh_from_db()
    assert (drafted.state, str(drafted.approver)) == ("in_force", "Mara")
    assert "Approved by Mara" in words(mara.get(f"/playbooks/{drafted.pk}/"))


def test_every_fault_of_a_draft_is_named_with_its_path_and_the_text_stays():
    text = next_playbook().replace("credential.revoke", "credential.explode").replace("quorum: 2", "quorum: 0")
    response = signed_in("enzo").post("/playbooks/draft/", {"text": text})
    assert response.status_code == 422
    assert "Line 21 stages.hard[1].measure Must be one of" in words(response)
    assert "holds.protected.quorum" in words(response)
    assert "credential.explode" in response.content.decode()
    assert not PlaybookVersion.objects.filter(state="draft").exists()


def test_whoever_wrote_a_draft_does_not_approve_it():
    people.add("lena", name="Lena", roles=["engineer", "manager"], actor=SYSTEM)
    lena = signed_in("lena")
    lena.post("/playbooks/draft/", {"text": next_playbook()})
    drafted = PlaybookVersion.objects.get(state="draft")
    assert "You wrote service-account v2. Somebody else has to approve it." in words(lena.get(f"/playbooks/{drafted.pk}/"))
    lena.post(f"/playbooks/{drafted.pk}/approve/", {"digest": drafted.digest})
    drafted.refresh_from_db()
    assert drafted.state == "draft"


def test_an_analyst_neither_drafts_nor_approves():
    client = signed_in("ines")
    assert client.get("/playbooks/draft/").status_code == 403
    assert client.post(f"/playbooks/{playbook().pk}/approve/", {"digest": "x"}).status_code == 403
    assert client.get("/policy/draft/").status_code == 403


def test_the_policy_says_where_it_acts_from_which_risk_on_and_what_it_never_reaches():
    response = signed_in("wren").get("/policy/")
    text = words(response)
    assert "Everywhere enforce" in text
    assert "Service account 40 70" in text
    assert "Of 56 cells, 7 can never reach soft (40) and 30 never hard (70)" in text
    assert response.context["version"].digest in text


def test_each_kind_has_its_own_table_of_what_cannot_be_reached():
    matrices = {matrix.kind: matrix for matrix in signed_in("wren").get("/policy/?kind=ai_agent").context["it"].matrices}
    assert matrices["ai_agent"].never_soft < matrices["service_account"].never_soft
    reads = dict(matrices["service_account"].rows)["data.read"]
    assert [cell.stage for cell in reads] == ["none", "soft", "soft", "soft"]


def test_every_fault_of_a_policy_is_named_with_its_line():
    text = next_policy().replace("honeytoken: 40", "honeytoken: much")
    response = signed_in("enzo").post("/policy/draft/", {"text": text})
    assert response.status_code == 422
    assert "weights.honeytoken line 30:" in words(response)
