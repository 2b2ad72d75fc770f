"""A grouped hold through the API: how many, who they are page by page, one of them alone, and the answer."""

import pytest

from approvals.models import Hold
from tests import make
from tests.flows.test_grouped import house, reported

pytestmark = pytest.mark.django_db


@pytest.fixture
def group(connected):
    house(1)
    reported("first", "a", "b", "c")
    return Hold.objects.get(grouped=True)


def test_a_detection_beyond_the_budget_is_told_its_run_and_the_one_hold(person, group):
    decision = make.detected("a")
    shown = person("ines").get(f"/api/v1/holds/{group.pk}").body
    assert decision.verdict == "covered"
    assert (shown["grouped"], shown["gathers"], shown["members"], shown["quorum"]) == (True, True, 3, 2)
    assert (shown["run"], shown["case"], shown["identity"]) == (None, None, None)
    assert shown["members_url"] == f"/api/v1/holds/{group.pk}/members"
    assert shown["plan_digest"] == group.plan_digest


def test_its_members_are_listed_in_pages(person, group):
    client = person("wren")
    page = client.get(f"/api/v1/holds/{group.pk}/members?limit=2").body
    rest = client.get(f"/api/v1/holds/{group.pk}/members?limit=2&cursor={page['next']}").body
    assert [one["name"] for one in (*page["results"], *rest["results"])] == ["c", "b", "a"]
    assert rest["next"] is None
    assert page["results"][0]["list_digest"] == group.plan_digest
    assert client.get(f"/api/v1/holds/{group.pk}/members?kind=ai_agent").body["results"] == []
    assert [one["id"] for one in client.get("/api/v1/holds?grouped=true").body["results"]] == [str(group.pk)]


def test_two_people_answer_it(person, group):
    said = {"word": "approve", "plan_digest": group.plan_digest}
    first = person("ines").post(f"/api/v1/holds/{group.pk}/answer", said)
    assert (first.status, first.body["settled"]) == (200, False)
    assert person("enzo").post(f"/api/v1/holds/{group.pk}/answer", said).status == 403
    second = person("omar").post(f"/api/v1/holds/{group.pk}/answer", said)
    assert (second.body["settled"], second.body["hold"]["state"], second.body["hold"]["gathers"]) == (True, "approved", False)


def test_one_of_them_alone(person, group):
    member = group.members.get(name="b")
    path = f"/api/v1/holds/{group.pk}/members/{member.pk}/alone"
    assert person("wren").post(path, {}).status == 403
    alone = person("ines").post(path, {})
    assert (alone.status, alone.body["run"], alone.body["members"]) == (201, member.run_ref.partition(":")[2], None)
    again = person("ines").post(path, {})
    assert (again.status, again.body["code"]) == (409, "already_ended")
    assert person("ines").post(f"/api/v1/holds/{alone.body['id']}/members/{member.pk}/alone", {}).status == 404
