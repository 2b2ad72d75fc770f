"""The page of a backtest: asked for, watched, opened, its thresholds moved, and a draft made of where they stand."""

from __future__ import annotations

from uuid import UUID

import pytest

from audit import clock
from audit.models import AuditEntry
from containment import backtests, policies
from containment.domain.policy import shipped_text
from containment.models import Backtest, BacktestSeen, RiskPolicyVersion
from tests import cast, make
from tests.console.doors import HTMX, signed_in, words

pytestmark = pytest.mark.django_db

HIGHER = shipped_text().replace("{kind: service_account, soft: 40, hard: 70}", "{kind: service_account, soft: 90, hard: 95}  # calmer")


def house_with_a_story() -> None:
    make.house()
    make.session(make.identity("etl_reader"), "etl-main", workflow="ingest")
    make.detected("etl_reader")


def done(client, **asked) -> str:
    """Ask at the page and work on it as a worker would."""
    response = client.post("/backtests/ask/", {"days": "30", **asked})
    assert response.status_code == 302, words(response)
    while backtests.drive(Backtest.objects.latest("made_at").pk):
        pass
    return str(response["Location"])


def test_a_version_is_tried_watched_and_opened_and_that_goes_on_record():
    house_with_a_story()
    client = signed_in("enzo")
    address = client.post("/backtests/ask/", {"version": policies.in_force().pk, "days": "14"})["Location"]
    key = UUID(address.split("/")[2])
    assert "It begins as soon as a worker is free" in words(client.get(address))
    part = client.get(f"{address}?part=progress", headers=HTMX)
    assert 'hx-trigger="every 1s"' in part.content.decode()
    assert "HX-Refresh" not in part
    assert not BacktestSeen.objects.exists()
    backtests.drive(key)
    assert client.get(f"{address}?part=progress", headers=HTMX)["HX-Refresh"] == "true"
    said = words(client.get(address))
    assert "1 decisions on 1 day" in said
    assert "Nothing: every verdict and stage stays as it was." in said
    assert BacktestSeen.objects.get().person.username == "enzo"
    verbs = list(AuditEntry.objects.filter(subject=f"backtest:{key}").order_by("seq").values_list("verb", flat=True))
    assert verbs == ["backtest.asked", "backtest.started", "backtest.finished", "backtest.seen"]
    client.get(address)
    assert AuditEntry.objects.filter(verb="backtest.seen").count() == 1


def test_a_draft_that_nobody_saved_is_tried_and_what_flips_stands_side_by_side():
    house_with_a_story()
    client = signed_in("enzo")
    said = words(client.get(done(client, text=HIGHER)))
    assert "A draft on history" in said
    assert "contain hard → watch 1" in said
    assert ", at or above 70." in said
    assert ", under 90." in said


def test_the_sliders_count_where_they_stand_without_script_too():
    house_with_a_story()
    client = signed_in("enzo")
    address = done(client, text=shipped_text())
    assert 'data-count="contained">1<' in client.get(address).content.decode()
    moved = client.get(f"{address}?soft_1=90&hard_1=95").content.decode()
    assert 'data-count="contained">0<' in moved
    assert 'value="90" data-part="soft"' in moved
    for nonsense in ("soft_1=900000", "soft_1=%00", "soft_1=-3&hard_1=x", "from=zzz", "from=99999999999"):
        assert client.get(f"{address}?{nonsense}").status_code == 200


def test_a_draft_begins_where_the_sliders_stand_and_keeps_what_was_written_around():
    house_with_a_story()
    client = signed_in("enzo")
    address = done(client, text=HIGHER)
    page = client.get(f"{address}draft/?soft_1=82&hard_1=91&soft_0=40&hard_0=75").content.decode()
    assert "- {kind: service_account, soft: 82, hard: 91}  # calmer" in page
    assert "- {kind: human, soft: 40, hard: 75}" in page
    text = HIGHER.replace("soft: 90, hard: 95", "soft: 82, hard: 91")
    response = client.post(f"{address}draft/", {"text": text})
    drafted = RiskPolicyVersion.objects.latest("version")
    assert response["Location"] == f"/policy/{drafted.pk}/"
    assert drafted.text == text


def test_who_neither_writes_nor_approves_policies_reads_and_does_not_ask():
    house_with_a_story()
    address = done(signed_in("mara"), version=policies.in_force().pk)
    wren = signed_in("wren")
    assert wren.get(address).status_code == 200
    assert wren.get("/backtests/").status_code == 200
    refused = wren.post("/backtests/ask/", {"version": policies.in_force().pk})
    assert refused.status_code == 422
    assert "for those who write or approve policies" in words(refused)
    assert wren.get(f"{address}draft/").status_code == 403
    assert Backtest.objects.count() == 1


def test_a_text_that_is_no_policy_is_refused_with_its_lines():
    make.house()
    refused = signed_in("enzo").post("/backtests/ask/", {"text": "version: 1\nname: x\n"})
    assert refused.status_code == 422
    assert "thresholds" in words(refused)


def test_an_empty_history_says_so():
    make.house()
    client = signed_in("enzo")
    assert "No policy was tried yet." in words(client.get("/backtests/"))
    assert "Nothing was decided in that time." in words(client.get(done(client, text=shipped_text())))


def test_only_so_many_wait_at_once():
    make.house()
    client = signed_in("enzo")
    for _ in range(backtests.MOST_WAITING):
        assert client.post("/backtests/ask/", {"text": shipped_text()}).status_code == 302
    refused = client.post("/backtests/ask/", {"text": shipped_text()})
    assert "wait already" in words(refused)


def test_a_backtest_that_was_not_finished_says_why():
    make.house()
    asked = backtests.ask(shipped_text(), since=clock.now() - backtests.LONGEST, actor=cast.person("enzo"))
    Backtest.objects.filter(pk=asked.pk).update(state="failed", next_at=None, trouble="Its slice 3 stopped 3 workers, one after the other.")
    assert "Its slice 3 stopped 3 workers" in words(signed_in("enzo").get(f"/backtests/{asked.pk}/"))
