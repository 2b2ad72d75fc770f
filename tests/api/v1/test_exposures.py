"""A report of leaked credentials: one group, each credential of it cut or held, and what is none of ours listed."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from audit import clock
from audit.models import AuditEntry
from containment import exposures, flow, sweep
from containment.models import Credential, CredentialUse, Detection, Exposure, ExposureMember, Identity, Source
from playbooks.models import Run
from tests import cast, make

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = "correct horse battery staple"


def sha256(secret: str) -> str:
    return "sha256:" + hashlib.sha256(secret.encode()).hexdigest()


def key(of: Identity, secret: str, *, store: str = "", kind: str = "api_key") -> Credential:
    from containment import fingerprints

    made = Credential.objects.create(
        provider=of.provider,
        kind=kind,
        fingerprint=fingerprints.of(kind, secret),
        secret_digest=fingerprints.of_secret(secret),
        name=f"key of {of.subject}",
        store=store,
        created_at=clock.now(),
    )
    CredentialUse.objects.create(credential=made, identity=of)
    return made


@pytest.fixture(autouse=True)
def house(connected):
    make.house()


@pytest.fixture
def token(program):
    return program("detections.write", "read")


def report(**changes: Any) -> dict[str, Any]:
    said = {"external_id": "leak-1", "found_at": "2026-11-22T10:00:00Z", "where": "https://git.example/acme/site"}
    return said | changes


def passed_on() -> None:
    """As workers do it."""
    for one in Exposure.objects.filter(state="passing_on"):
        exposures.pass_on(one.pk)
    for detection in Detection.objects.filter(state="received"):
        flow.decide(detection.pk)


def post(token, **changes: Any):
    return token.post("/api/v1/exposures", report(**changes))


def test_a_compared_secret_is_marked_and_its_user_cut(token):
    etl = make.identity("etl_reader")
    leaked = key(etl, SECRET, kind="db_password")
    said = post(token, credentials=[{"kind": "db_password", "fingerprint": sha256(SECRET)}])
    assert (said.status, said.body["duplicate"], said.body["state"]) == (202, False, "passing_on")
    entry = said.body["results"][0]
    assert (entry["status"], entry["found_by"], entry["verified"]) == ("waiting", "fingerprint", True)
    passed_on()
    leaked.refresh_from_db()
    assert leaked.exposure_verified is True
    assert leaked.exposed_at is not None
    assert leaked.exposed_at.isoformat() == "2026-11-22T10:00:00+00:00"
    decision = Detection.objects.get(credential=leaked).decisions.get()
    assert decision.verdict in ("contain", "hold")
    assert "credential_exposed" in [signal["code"] for signal in decision.signals]
    assert "https://git.example/acme/site" in str(decision.signals)
    assert decision.waterfall["conclusive"][0]["against"] == "credential"
    now = token.get(f"/api/v1/exposures/{said.body['id']}").body
    assert now["state"] == "passed_on"
    assert now["results"][0]["detections"] == [str(decision.detection_id)]
    assert sum(now["counts"].values()) == 1


def test_an_id_alone_proves_nothing_and_is_still_acted_on(token):
    make.identity("etl_reader")
    post(token, credentials=[{"kind": "db_role", "provider": "postgres", "id": "etl_reader"}])
    passed_on()
    credential = Credential.objects.get(name="etl_reader")
    assert credential.exposed_at is not None
    assert credential.exposure_verified is False
    decision = Detection.objects.get(credential=credential).decisions.get()
    assert decision.verdict in ("contain", "hold")
    assert decision.waterfall["conclusive"] == []


def test_a_whole_store_becomes_one_group_with_a_decision_for_each_of_its_credentials(token):
    names = [f"svc_{number}" for number in range(5)]
    for name in names:
        key(make.identity(name), f"{name}-secret", store="vault/prod-payments")
    key(make.identity("elsewhere"), "other", store="vault/staging")
    said = post(token, store={"provider": "vault", "name": "prod-payments"})
    assert len(said.body["results"]) == 5
    passed_on()
    assert Exposure.objects.count() == 1
    decided = {one.identity.subject: one.decisions.get().verdict for one in Detection.objects.all()}
    assert sorted(decided) == names
    assert set(decided.values()) <= {"contain", "hold"}
    assert AuditEntry.objects.filter(verb="credential.exposed").count() == 5
    assert AuditEntry.objects.filter(verb="exposure.passed_on").count() == 1


def test_everybody_who_uses_a_shared_credential_is_decided_about(token):
    first, second = make.identity("report_a"), make.identity("report_b")
    shared = key(first, SECRET)
    CredentialUse.objects.create(credential=shared, identity=second)
    post(token, credentials=[{"fingerprint": sha256(SECRET)}])
    passed_on()
    assert {one.identity for one in Detection.objects.filter(credential=shared)} == {first, second}


def test_a_protected_user_is_held_and_never_cut(token):
    root = make.identity("root", protected=True, protected_because="break-glass")
    key(root, SECRET)
    said = post(token, credentials=[{"fingerprint": sha256(SECRET)}])
    passed_on()
    assert Detection.objects.get().decisions.get().verdict == "hold"
    assert token.get(f"/api/v1/exposures/{said.body['id']}").body["counts"] == {"held": 1}


def test_what_is_none_of_ours_is_listed_and_spoils_nothing(token):
    make.identity("etl_reader")
    said = post(
        token,
        credentials=[
            {"fingerprint": sha256("somebody else's")},
            {"kind": "db_role", "id": "nobody"},
            {"provider": "okta", "subject": "nobody"},
            {"provider": "postgres", "subject": "etl_reader"},
        ],
    )
    assert [one["status"] for one in said.body["results"]] == ["unknown", "unknown", "unknown", "waiting"]
    assert said.body["counts"] == {"waiting": 1, "unknown": 3}
    assert all(one["said"] for one in said.body["results"][:3])


def test_the_same_report_again_finds_the_first(token):
    key(make.identity("etl_reader"), SECRET)
    first = post(token, credentials=[{"fingerprint": sha256(SECRET)}])
    again = post(token, credentials=[{"fingerprint": sha256(SECRET)}])
    assert (again.status, again.body["id"], again.body["duplicate"], again.body["differs"]) == (200, first.body["id"], True, False)
    other = post(token, credentials=[{"fingerprint": sha256("x")}])
    assert (other.status, other.body["differs"]) == (200, True)
    passed_on()
    passed_on()
    assert Detection.objects.count() == 1


def test_a_credential_that_is_named_twice_counts_once_and_as_well_compared_as_the_better(token):
    leaked = key(make.identity("etl_reader"), SECRET)
    said = post(token, credentials=[{"provider": "postgres", "subject": "etl_reader", "kind": "api_key"}, {"fingerprint": sha256(SECRET)}])
    assert [(one["status"], one["verified"]) for one in said.body["results"]] == [("waiting", True), ("twice", True)]
    passed_on()
    leaked.refresh_from_db()
    assert leaked.exposure_verified is True
    assert Detection.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "path", "code"),
    [
        ({"credentials": [{"kind": "api_key", "id": "ghp_" + "a1" * 18}]}, "credentials[0].id", "looks_like_a_secret"),
        ({"credentials": [{"fingerprint": "sha256:nope"}]}, "credentials[0].fingerprint", "wrong_form"),
        ({"credentials": [{"kind": "api_key"}]}, "credentials[0]", "one_of"),
        ({"credentials": [{"fingerprint": sha256("a"), "subject": "b", "provider": "c"}]}, "credentials[0]", "one_of"),
        ({"credentials": [{"id": "etl_reader"}]}, "credentials[0].kind", "missing"),
        ({"credentials": [{"subject": "etl_reader"}]}, "credentials[0].provider", "missing"),
        ({"credentials": [7]}, "credentials[0]", "wrong_type"),
        ({"credentials": "all"}, "credentials", "wrong_type"),
        ({"credentials": [{"fingerprint": sha256(str(number))} for number in range(1001)]}, "credentials", "too_long"),
        ({"credentials": []}, "credentials", "missing"),
        ({"store": {"provider": "vault"}}, "store.name", "missing"),
        ({"store": "vault"}, "store", "wrong_type"),
        ({"store": {"provider": "vault", "name": "x", "path": "y"}}, "store.path", "unknown_member"),
        ({"found_at": "yesterday"}, "found_at", "wrong_form"),
        ({"found_at": "2026-11-22T10:00:00"}, "found_at", "no_zone"),
        ({"found_at": "2999-11-22T10:00:00Z", "store": {"provider": "vault", "name": "x"}}, "found_at", "in_the_future"),
        ({"where": ""}, "where", "wrong_type"),
        ({"where": 7}, "where", "wrong_type"),
        ({"where": "a\0b"}, "where", "wrong_form"),
        ({"external_id": "x" * 201}, "external_id", "too_long"),
        ({"secret": "x", "store": {"provider": "vault", "name": "x"}}, "secret", "unknown_member"),
    ],
)
def test_bad_input_is_refused_with_its_path_and_never_repeated(token, change, path, code):
    said = post(token, **change)
    assert said.status in (400, 422), said.body
    found = [(fault["path"], fault["code"]) for fault in said.body.get("errors", [])]
    assert (path, code) in found or said.status == 400, said.body
    assert "a1a1a1" not in str(said.body)
    assert not Exposure.objects.exists()


def test_who_may_not_post_detections_may_not_report_a_leak(program, person, nobody):
    assert post(nobody, store={"provider": "vault", "name": "x"}).status == 401
    assert post(program("read"), store={"provider": "vault", "name": "x"}).status == 403
    assert post(person("enzo"), store={"provider": "vault", "name": "x"}).status == 403
    assert post(program("detections.write"), source="other", store={"provider": "vault", "name": "x"}).status == 403


def test_a_source_reports_only_what_it_may_speak_about(token):
    Source.objects.filter(name="edr-prod").update(providers=["okta"])
    key(make.identity("etl_reader"), SECRET)
    said = post(token, credentials=[{"fingerprint": sha256(SECRET)}])
    assert said.body["results"][0]["status"] == "unknown"
    assert "may not speak about" in said.body["results"][0]["said"]


def test_a_report_that_no_worker_took_is_passed_on_by_a_sweeper(token):
    key(make.identity("etl_reader"), SECRET)
    post(token, credentials=[{"fingerprint": sha256(SECRET)}])
    with connection.cursor() as cursor:
        cursor.execute("UPDATE exposure SET next_at = clock_timestamp() - interval '1 s'")
    sweep.sweep_once()
    assert Exposure.objects.get().state == "passed_on"
    assert Detection.objects.count() == 1


def test_a_credential_that_nobody_uses_is_marked_and_said_so(token):
    leaked = key(make.identity("etl_reader"), SECRET)
    leaked.uses.all().delete()
    said = post(token, credentials=[{"fingerprint": sha256(SECRET)}])
    passed_on()
    now = token.get(f"/api/v1/exposures/{said.body['id']}").body
    assert now["counts"] == {"unused": 1}
    assert "Nobody is known to use it" in now["results"][0]["said"]
    leaked.refresh_from_db()
    assert leaked.exposed_at is not None


def test_large_reports_are_passed_on_a_few_at_a_time(token):
    owner = make.identity("many")
    for number in range(45):
        key(owner, f"secret {number}", store="vault/big")
    post(token, store={"provider": "vault", "name": "big"})
    exposure = Exposure.objects.get()
    assert exposures._some(exposure.pk, "", set()) is True
    assert ExposureMember.objects.filter(state="passed_on").count() == exposures.AT_A_TIME
    exposures.pass_on(exposure.pk)
    assert ExposureMember.objects.filter(state="passed_on").count() == 45
    assert Detection.objects.count() == 45


def test_from_a_source_that_is_only_observed_nothing_is_cut(token):
    from containment import limits

    key(make.identity("etl_reader"), SECRET)
    limits.observe(Source.objects.get(name="edr-prod").pk, "being set up", actor=cast.person("enzo"))
    post(token, credentials=[{"fingerprint": sha256(SECRET)}])
    passed_on()
    decision = Detection.objects.get().decisions.get()
    assert decision.verdict == "watch"
    assert decision.would_have in ("contain", "hold")
    assert not Run.objects.exists()


def test_once_it_was_replaced_the_old_leak_condemns_nobody_and_a_later_one_does(token):
    leaked = key(make.identity("etl_reader"), SECRET)
    post(token, credentials=[{"fingerprint": sha256(SECRET)}])
    exposures.pass_on(Exposure.objects.get().pk)
    exposures.replaced(leaked.pk, "rotated in the vault", actor=cast.person("enzo"))
    passed_on()
    first = Detection.objects.get().decisions.get()
    assert first.verdict == "watch", first.because
    later = (clock.now() + timedelta(minutes=1)).isoformat()
    post(token, external_id="leak-2", found_at=later, credentials=[{"kind": "api_key", "id": str(leaked.pk)}])
    passed_on()
    leaked.refresh_from_db()
    assert leaked.exposed_at is not None
    assert leaked.exposed_at.isoformat() == later
    assert leaked.exposure_verified is False


def in_the_way(credential: Credential, identity: Identity) -> Detection:
    """Somebody took the id of the detection that the report will make."""
    return Detection.objects.create(
        source=Source.objects.get(name="edr-prod"),
        external_id=f"exposure:{Exposure.objects.get().pk}:{credential.pk}:{identity.pk}",
        body_digest="",
        title="in the way",
        severity="low",
        confidence=0.1,
        identity=identity,
        occurred_at=clock.now(),
        received_at=clock.now(),
        state="decided",
        next_at=None,
    )


def test_one_that_fails_keeps_none_behind_it_waiting_and_is_set_aside_after_three_attempts(token):
    etl, others = make.identity("etl_reader"), [make.identity(f"other_{number}") for number in range(12)]
    broken = key(etl, SECRET)
    for other in others:
        key(other, f"{other.subject}-secret")
    fingerprints = [SECRET, *(f"{other.subject}-secret" for other in others)]
    said = post(token, credentials=[{"fingerprint": sha256(one)} for one in fingerprints])
    exposure = Exposure.objects.get()
    in_the_way(broken, etl)
    exposures.pass_on(exposure.pk)
    assert ExposureMember.objects.filter(state="passed_on").count() == 12
    member = ExposureMember.objects.get(credential=broken)
    assert (member.state, member.strikes) == ("waiting", 1)
    broken.refresh_from_db()
    assert broken.exposed_at is None, "what failed was taken back with its entries"
    assert AuditEntry.objects.filter(verb="credential.exposed").count() == 12
    exposures.pass_on(exposure.pk)
    exposures.pass_on(exposure.pk)
    exposure.refresh_from_db()
    assert exposure.state == "passed_on"
    now = token.get(f"/api/v1/exposures/{said.body['id']}").body
    assert now["results"][0]["status"] == "set_aside"
    assert "Set aside after 3 attempts" in now["results"][0]["said"]
    assert AuditEntry.objects.filter(verb="exposure.set_aside").count() == 1


def test_what_a_transient_trouble_kept_is_passed_on_at_the_next_attempt(token):
    etl = make.identity("etl_reader")
    leaked = key(etl, SECRET)
    post(token, credentials=[{"fingerprint": sha256(SECRET)}])
    trouble = in_the_way(leaked, etl)
    exposures.pass_on(Exposure.objects.get().pk)
    assert ExposureMember.objects.get().state == "waiting"
    trouble.delete()
    exposures.pass_on(Exposure.objects.get().pk)
    assert ExposureMember.objects.get().state == "passed_on"


@pytest.mark.parametrize("prefix", ["exposure:", "activity:"])
def test_ids_that_we_make_ourselves_are_refused_from_others(token, prefix):
    said = token.post("/api/v1/detections", make.message("etl_reader") | {"external_id": f" {prefix}x"})
    assert said.status == 422
    assert [(fault["path"], fault["code"]) for fault in said.body["errors"]] == [("external_id", "reserved")]
    assert not Detection.objects.exists()


def test_the_credentials_of_a_store_count_against_the_rate_and_what_goes_over_it_is_only_observed(token):
    for number in range(25):
        key(make.identity(f"svc_{number}"), f"{number}-secret", store="vault/big")
    Source.objects.filter(name="edr-prod").update(rate_per_minute=15)
    post(token, store={"provider": "vault", "name": "big"})
    exposures.pass_on(Exposure.objects.get().pk)
    acting = Detection.objects.filter(observed_because="").count()
    assert acting == exposures.AT_A_TIME  # with the report itself, the second ten would be the messages 12 to 21
    assert Detection.objects.count() == 25
    assert Source.objects.get(name="edr-prod").state == "observing"
