"""The pages of the policy: what a draft changes and whose word it takes, the ramp square by square, and the shadow case by case."""

import html
import re

import pytest

from containment import backtests, policies, policy_approvals, shadow
from containment.domain.facts import Kind
from containment.domain.policy import Mode
from containment.models import Backtest, PreflightCheck, ProtectedConfirmation, RiskPolicyVersion, ShadowDifference
from tests import cast, make
from tests.console.doors import signed_in, words

pytestmark = pytest.mark.django_db

AGENT_IN_PROD = {"kind": "service_account", "environment": "prod"}


@pytest.fixture(autouse=True)
def house(postgres_plans):
    make.house()
    cast.person("mia")


def drafted(old="service_account, soft: 40", new="service_account, soft: 35"):
    text = policies.in_force().text
    assert old in text
    signed_in("enzo").post("/policy/draft/", {"text": text.replace(old, new, 1)})
    return RiskPolicyVersion.objects.get(state="draft")


def approve(version, name, **more):
    said = {"digest": version.digest, "base": str(policies.in_force().pk), "acknowledged": "yes"} | more
    return notice(signed_in(name).post(f"/policy/{version.pk}/approve/", said, follow=True))


def notice(response):
    """All that the page says, its notices included, which stand outside its own part."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def observing():
    RiskPolicyVersion.objects.all().delete()
    policies.ship(mode=Mode.OBSERVE)
    make.identity("etl_reader", environment="prod")


def test_a_tightening_shows_what_it_changes_and_takes_two_words():
    version = drafted()
    text = words(signed_in("mara").get(f"/policy/{version.pk}/"))
    assert "tighter Service account, soft threshold: from 40 to 35." in text
    assert "it takes two people, neither of them its author" in text
    assert "Nobody has approved it yet. 2 of 2 people still missing." in text
    assert "It takes somebody else's as well." in approve(version, "mara")
    text = words(signed_in("mia").get(f"/policy/{version.pk}/"))
    assert "Mara approved it" in text
    assert "1 of 2 people still missing" in text
    assert "You have approved it. It waits for somebody else." in words(signed_in("mara").get(f"/policy/{version.pk}/"))
    assert "Approved. It is in force." in approve(version, "mia")
    assert "Approved by Mara (there was nothing to test it on) , Mia (there was nothing to test it on)" in words(
        signed_in("mara").get("/policy/")
    )


def test_a_loosening_takes_one_word_and_the_text_on_screen():
    version = drafted(new="service_account, soft: 45")
    assert "looser Service account, soft threshold" in words(signed_in("mara").get(f"/policy/{version.pk}/"))
    assert "is not the text you read" in approve(version, "mara", digest="sha256:other")
    assert "Say that you have read what this policy can never reach." in words(
        signed_in("mara").post(f"/policy/{version.pk}/approve/", {"digest": version.digest})
    )
    assert policies.in_force().version == 1
    assert "Approved. It is in force." in approve(version, "mara")


def test_the_approver_is_told_to_open_a_backtest_first_where_there_is_history():
    make.identity("etl_reader")
    make.detected()
    version = drafted(new="service_account, soft: 45")
    address = f"/policy/{version.pk}/"
    text = words(signed_in("mara").get(address))
    assert "No backtest of exactly this text was run yet." in text
    assert "Open a finished backtest of exactly this text first." in text
    assert "You have not seen what policy v2 would have done." in approve(version, "mara")
    make.backtest_seen(version, "mara")
    assert "You have seen a backtest of exactly this text." in words(signed_in("mara").get(address))
    assert "A backtest of exactly this text is done." in words(signed_in("mia").get(address))
    assert "Approved. It is in force." in approve(version, "mara")


def test_who_may_not_approve_reads_who_could():
    version = drafted()
    text = words(signed_in("enzo").get(f"/policy/{version.pk}/"))
    assert "Approving policies is for a manager: Mara or Mia could." in text
    assert signed_in("ines").post(f"/policy/{version.pk}/approve/", {"digest": version.digest}).status_code == 403


def test_the_page_shows_every_member():
    version = drafted(
        "unknown_reach: wide",
        "unknown_reach: wide\nscope: {rules: [{name: no mail, who: {kind: ai_agent}, may_not: 'tool:send_*', on: {kind: mail}}]}",
    )
    text = words(signed_in("wren").get(f"/policy/{version.pk}/"))
    for said in (
        "may not no mail who kind ai_agent; may not tool:send_*; on kind mail",
        "per source hour 60",
        "share of kind 0.25",
        "long running job 30",
        "exposed credential 5",
        "200 events on 7 days",
        "thinning 30",
        "secret.read → message.send",
        "cool-off after a person's no, minutes 60",
        "soft at most for a discovered identity, hours 24",
        "not classified, counts as high",
        "not known, counts as wide",
        "trust, token of its own 0.9",
        "dormant days 90",
        "backtest days 14",
        "count up to, decibans 30",
    ):
        assert said in text, said


def test_cells_follow_the_thresholds_of_a_drive_and_an_environment():
    rule = "{kind: ai_agent, soft: 30, hard: 60}"
    version = drafted(rule, f"{rule}\n  - {{kind: ai_agent, drive: human, environment: prod, soft: 90, hard: 95}}")
    client = signed_in("wren")
    usual = client.get(f"/policy/{version.pk}/?kind=ai_agent").context["matrix"]
    own = client.get(f"/policy/{version.pk}/?kind=ai_agent&where=ai_agent~human~prod").context["matrix"]
    assert (usual.soft, own.soft, own.words) == (30, 90, "driven by human in prod")
    assert usual.never_soft < own.never_soft
    assert client.get(f"/policy/{version.pk}/?kind=ai_agent&where=nowhere").context["matrix"] == usual


# -- the ramp ------------------------------------------------------------------------------------------------------------------------------


def test_the_ramp_shows_each_square_and_what_is_missing_for_it():
    observing()
    text = words(signed_in("wren").get("/policy/ramp/?kind=service_account&environment=prod"))
    assert "Kind prod anywhere else human observe observe" in text
    assert "Service account in prod only observed" in text
    assert "missing Backtest. Nothing was decided yet" in text
    assert "missing Protected list. Nobody has confirmed the protected list yet." in text
    assert "missing Preflight. The connector of postgres was never tried for this." in text
    assert "green Approvers." in text
    assert "green Budget. At most 60 per source and hour and 200 per day" in text
    assert "Writing policies is for an engineer" in text


def test_one_drafts_another_confirms_a_third_tries_and_the_lights_turn_green():
    observing()
    response = signed_in("enzo").post("/policy/ramp/enforce/", AGENT_IN_PROD)
    version = RiskPolicyVersion.objects.get(state="draft")
    assert response["Location"] == f"/policy/{version.pk}/"
    assert policies.document(version.text).mode(Kind.SERVICE_ACCOUNT, "prod") is Mode.ENFORCE
    signed_in("ada").post("/policy/ramp/protected/", AGENT_IN_PROD)
    assert ProtectedConfirmation.objects.count() == 1
    signed_in("enzo").post("/policy/ramp/preflight/", AGENT_IN_PROD)
    assert PreflightCheck.objects.count() == 1
    text = words(signed_in("mara").get("/policy/ramp/?kind=service_account&environment=prod"))
    assert "green Protected list. Ada confirmed an empty list at" in text
    assert "policy v2 would enforce it" in text
    assert "Go on with policy v2" in text
    page = words(signed_in("mara").get(f"/policy/{version.pk}/"))
    assert "Enforcing service account in prod only observed today" in page
    assert "not every light below is green" in page
    assert "would enforce service account in prod, and not everything is green yet" in approve(version, "mara")


def test_before_going_back_the_page_says_how_many_wait_for_people():
    address = "/policy/ramp/?kind=service_account&environment=prod"
    make.identity("guarded", environment="prod", protected=True)
    assert "Nobody of them waits for people now." in words(signed_in("mara").get(address))
    make.detected("guarded")
    text = words(signed_in("mara").get(address))
    assert "1 of them waits for people now." in text
    assert "what silence would have contained is released" in text
    assert "Nobody of them waits" in words(signed_in("mara").get("/policy/ramp/?kind=human&environment=prod"))
    policy_approvals.step_back(Kind.SERVICE_ACCOUNT, "prod", actor=cast.person("mara"))
    assert "1 of them still waits for people, from before." in words(signed_in("mara").get(address))


def test_a_manager_goes_back_to_observing_with_one_click():
    client = signed_in("mara")
    text = notice(client.post("/policy/ramp/observe/", {"kind": "human", "environment": "prod"}, follow=True))
    assert "It only observes from now on." in text
    assert policies.document(policies.in_force().text).mode(Kind.HUMAN, "prod") is Mode.OBSERVE
    assert "Mara alone, who wrote it: it does nothing but go back to observing" in words(client.get("/policy/"))


@pytest.mark.parametrize(
    ("deed", "name", "status"),
    [
        ("enforce", "mara", 403),
        ("observe", "enzo", 403),
        ("observe", "ines", 403),
        ("protected", "mara", 403),
        ("preflight", "ines", 302),
    ],
)
def test_what_is_not_ones_to_do_is_refused(deed, name, status):
    observing()
    assert signed_in(name).post(f"/policy/ramp/{deed}/", AGENT_IN_PROD).status_code == status
    assert (RiskPolicyVersion.objects.count(), PreflightCheck.objects.count(), ProtectedConfirmation.objects.count()) == (1, 0, 0)


def test_a_nonsensical_square_is_still_a_page_and_no_policy_leads_to_the_policy():
    client = signed_in("wren")
    assert client.get("/policy/ramp/?kind=dog&environment=%00").status_code == 200
    assert client.get("/policy/ramp/?kind=human&environment=nowhere").status_code == 200
    RiskPolicyVersion.objects.all().delete()
    assert client.get("/policy/ramp/")["Location"] == "/policy/"


# -- the shadow ----------------------------------------------------------------------------------------------------------------------------


def test_the_shadow_is_started_stopped_and_read_case_by_case():
    version = drafted("service_account, soft: 40, hard: 70", "service_account, soft: 90, hard: 95")
    enzo = signed_in("enzo")
    assert "without effect" in notice(enzo.post(f"/policy/{version.pk}/shadow/start/", follow=True))
    make.identity("etl_reader")
    decision = make.detected()
    text = words(signed_in("wren").get(f"/policy/{version.pk}/shadow/"))
    assert "1 decision judged in its last time" in text
    assert f"{decision.verdict}, hard → watch 1" in text
    assert "under 90" in text
    assert f"/decisions/{decision.pk}/" in signed_in("wren").get(f"/policy/{version.pk}/shadow/").content.decode()
    assert "1 would have been different in all" in words(signed_in("mara").get(f"/policy/{version.pk}/"))
    assert "It is a draft again." in notice(enzo.post(f"/policy/{version.pk}/shadow/stop/", follow=True))
    assert ShadowDifference.objects.count() == 1


def test_a_chain_that_is_not_in_force_yet_is_said_to_be_understated():
    said = "data.read → message.send: the version in force does not name this chain."
    version = drafted("chains: [", "chains: [[data.read, message.send], ")
    assert said in words(signed_in("mara").get(f"/policy/{version.pk}/"))
    shadow.start(version.pk, actor=cast.person("enzo"))
    assert said in words(signed_in("mara").get(f"/policy/{version.pk}/shadow/"))
    make.identity("etl_reader")
    make.detected()
    client = signed_in("enzo")
    address = client.post("/backtests/ask/", {"version": version.pk, "days": "14"})["Location"]
    backtests.drive(Backtest.objects.get().pk)
    assert said in words(client.get(address))
    same = client.post("/backtests/ask/", {"version": policies.in_force().pk, "days": "14"})["Location"]
    backtests.drive(Backtest.objects.latest("made_at").pk)
    assert "does not name" not in words(client.get(same))


def test_who_neither_writes_nor_approves_starts_no_shadow():
    version = drafted()
    signed_in("ines").post(f"/policy/{version.pk}/shadow/start/")
    version.refresh_from_db()
    assert version.state == "draft"
    assert "Approving policies is for a manager" in words(signed_in("ines").get(f"/policy/{version.pk}/"))


def test_a_shadow_can_be_approved_from_its_page():
    version = drafted(new="service_account, soft: 45")
    shadow.start(version.pk, actor=cast.person("mara"))
    assert "Approved. It is in force." in approve(version, "mara")
