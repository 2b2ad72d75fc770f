"""The page of the kill switch and its banner; and the same through the API."""

from __future__ import annotations

import pytest

from playbooks import switch, switching
from tests import cast
from tests.api.v1.conftest import Caller
from tests.console.doors import HTMX, signed_in, words

pytestmark = pytest.mark.django_db
BANNER = 'class="switch-on"'


def caller(name: str) -> Caller:
    return Caller(signed_in(name))


def test_one_click_without_a_reason_switches_it_on_and_every_page_says_so():
    ines = signed_in("ines")
    assert BANNER not in ines.get("/cases/").content.decode()
    ines.post("/switch/turn/", {"position": "no_new", "reason": ""})
    assert switch.position() == "no_new"
    page = ines.get("/switch/")
    assert "No new containment Nothing new is contained." in words(page)
    assert "without a reason" in words(page)
    for address in ("/cases/", "/exceptions/", "/switch/banner/"):
        assert BANNER in ines.get(address).content.decode()


def test_the_banner_comes_and_goes_with_a_look_again():
    mara = signed_in("mara")
    assert BANNER not in mara.get("/switch/banner/", headers=HTMX).content.decode()
    switching.turn("nothing", "fire", actor=cast.person("ines"))
    assert "fire" in mara.get("/switch/banner/", headers=HTMX).content.decode()


def test_off_takes_two_at_the_page():
    switching.turn("nothing", "fire", actor=cast.person("ines"))
    mara, mia = signed_in("mara"), signed_in("mia")
    mara.post("/switch/ask/", {"position": "off", "reason": "the fire is out"})
    assert switch.position() == "nothing"
    assert "You asked for it, so somebody else has to agree." in words(mara.get("/switch/"))
    mara.post("/switch/agree/", {"position": "off"})
    assert switch.position() == "nothing"
    mia.post("/switch/agree/", {"position": "no_new"})
    assert switch.position() == "nothing"
    mia.post("/switch/agree/", {"position": "off"})
    assert switch.position() == "off"
    assert "agreed with Mara" in words(mia.get("/switch/"))


def test_those_who_may_not_turn_it_read_who_could():
    page = words(signed_in("wren").get("/switch/"))
    assert "analyst" in page
    assert signed_in("wren").post("/switch/turn/", {"position": "nothing"}).status_code == 403
    switching.turn("no_new", "", actor=cast.person("ines"))
    assert signed_in("ines").post("/switch/ask/", {"position": "off", "reason": "please"}).status_code == 403


def test_the_api_turns_it_by_the_same_rules():
    ines, mara, mia = caller("ines"), caller("mara"), caller("mia")
    assert ines.get("/api/v1/kill-switch").body["position"] == "off"
    said = ines("PUT", "/api/v1/kill-switch", {"position": "no_new"})
    assert (said.status, said.body["position"], said.body["by"]) == (200, "no_new", "Ines")
    asked = mara("PUT", "/api/v1/kill-switch", {"position": "off", "reason": "a drill"})
    assert (asked.status, asked.body["position"], asked.body["asked"]["by"]) == (202, "no_new", "Mara")
    assert mara("PUT", "/api/v1/kill-switch", {"position": "off", "reason": "a drill"}).status == 202
    assert ines("PUT", "/api/v1/kill-switch", {"position": "off"}).status == 403
    done = mia("PUT", "/api/v1/kill-switch", {"position": "off"})
    assert (done.status, done.body["position"], done.body["asked"]) == (200, "off", None)


def test_the_api_withdraws_what_was_asked_by_putting_where_it_stands():
    switching.turn("no_new", "", actor=cast.person("ines"))
    mara = caller("mara")
    mara("PUT", "/api/v1/kill-switch", {"position": "off", "reason": "a drill"})
    assert mara("PUT", "/api/v1/kill-switch", {"position": "no_new"}).body["asked"] is None
