"""One card about many: what it says, what its forms do, and the list of everybody on it."""

from __future__ import annotations

import pytest

from approvals.models import Hold
from containment.models import Identity
from tests import again, cast, make
from tests.console.people import HTMX, signed_in, text_of
from tests.flows.test_grouped import house, reported

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def group(postgres_plans):
    def made():
        house(1)
        reported("first", "a", "b", "c")

    again.scene("three in a group", made)
    return Hold.objects.get(grouped=True)


def answer(client, hold, word, **more):
    return client.post(f"/holds/{hold.pk}/answer/", {"word": word, "plan_digest": hold.plan_digest, **more})


def test_the_queue_shows_many_as_one(group):
    text = text_of(signed_in("ines").get("/"))
    assert "3 identities" in text
    assert "More to contain than the budget allows" in text
    assert f"If nobody answers by {group.deadline:%H:%M:%S}&nbsp;UTC" in text
    assert "service account 3" in text
    assert "service-account v1, hard stage: 3" in text
    assert "Your answer is about the 3 identities you see here" in text


def test_the_queue_says_that_the_budget_is_spent_once(group):
    page = signed_in("ines").get("/").content.decode()
    assert page.count('id="alarm-') == 1
    assert "1 in an hour because of edr-prod" in page


def test_two_people_answer_on_the_page_and_it_says_how_far_it_is(group):
    assert answer(signed_in("ines"), group, "approve").status_code == 302
    text = text_of(signed_in("ines").get(f"/holds/{group.pk}/"))
    assert "You said “contain now”" in text
    assert "the list is closed" in text
    answer(signed_in("omar"), group, "approve")
    assert "Done for 0 of 3." in text_of(signed_in("mara").get(f"/holds/{group.pk}/"))


def test_leaving_them_running_takes_a_reason(group):
    refused = answer(signed_in("ines"), group, "reject")
    assert refused.status_code == 422
    assert answer(signed_in("ines"), group, "reject", reason="a test of ours").status_code == 302
    assert (
        "all of them were left running" in text_of(signed_in("ines").get(f"/holds/{group.pk}/"))
        or Hold.objects.get(pk=group.pk).state == "rejected"
    )


def test_an_old_list_is_refused_with_the_new_one_on_the_page(group):
    answer(signed_in("ines"), group, "approve")
    response = signed_in("omar").post(f"/holds/{group.pk}/answer/", {"word": "approve", "plan_digest": "sha256:0"}, headers=HTMX)
    assert response.status_code == 409
    assert group.plan_digest in response.content.decode()


def test_everybody_on_the_list_is_listed_with_links(group):
    page = signed_in("wren").get(f"/holds/{group.pk}/members/").content.decode()
    for name in "abc":
        assert f"/identities/{Identity.objects.get(subject=name).pk}/" in page
    assert "Ask alone" not in page
    assert "Nobody is like that." in signed_in("wren").get(f"/holds/{group.pk}/members/?q=nobody").content.decode()


def test_one_of_them_is_taken_out_and_answered_by_itself(group):
    member = group.members.get(name="b")
    client = signed_in("ines")
    assert "Ask alone" in client.get(f"/holds/{group.pk}/members/").content.decode()
    response = client.post(f"/holds/{group.pk}/members/{member.pk}/alone/", follow=True)
    text = text_of(response)
    assert "It is asked about by itself now" in text
    assert "Revoke the credential" in text
    assert "2 identities" in text
    assert client.post(f"/holds/{group.pk}/members/{member.pk}/alone/").status_code == 302
    assert Hold.objects.filter(state="open", grouped=False).count() == 1


def test_somebody_who_only_reads_takes_nobody_out(group):
    member = group.members.get(name="b")
    assert signed_in("wren").post(f"/holds/{group.pk}/members/{member.pk}/alone/").status_code == 403
    assert cast.person("wren")


def test_the_case_of_a_member_leads_to_the_group(group):
    decision = make.detected("d") if Identity.objects.filter(subject="d").exists() else reported("d")[0]
    page = signed_in("ines").get(f"/cases/{decision.case_id}/").content.decode()
    assert f"/holds/{group.pk}/" in page


def test_the_page_of_a_member_leads_to_the_group(group):
    page = signed_in("ines").get(f"/identities/{Identity.objects.get(subject='a').pk}/").content.decode()
    assert f"/holds/{group.pk}/" in page


def test_filters_and_other_lists_bear_a_group(group):
    client = signed_in("ines")
    for address in ("/?show=mine", "/?show=agents", "/?show=soon", "/search/?q=budget", "/audit/", "/decisions/"):
        assert client.get(address).status_code == 200
    assert "3 identities" in text_of(client.get("/?show=mine"))
    assert "3 identities" not in text_of(client.get("/?show=agents"))
