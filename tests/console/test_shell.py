"""The frame around every page: what it offers, what it keeps to itself, and that it stands without anything around it."""

import json
import re
from datetime import UTC, datetime

import pytest
from allauth.account.forms import SetPasswordForm
from django.contrib.auth.models import AnonymousUser
from django.template.loader import render_to_string
from django.test import RequestFactory

from console import context
from console.templatetags import console as tags


def asked(path="/", **cookies):
    request = RequestFactory().get(path)
    request.COOKIES.update(cookies)
    request.csp_nonce = "nonce-of-this-page"  # type: ignore[attr-defined]
    request.user = AnonymousUser()
    return request


def shown(path="/", template="console/page.html", **facts):
    return render_to_string(template, {"server_now": datetime(2026, 11, 22, 10, tzinfo=UTC), **facts}, request=asked(path))


def found(pattern, page):
    match = re.search(pattern, page, re.DOTALL)
    assert match, f"{pattern} is not in the page"
    return match[match.lastindex or 0]


def test_the_rail_marks_where_one_is_and_only_there():
    for path, label in [
        ("/", "Queue"),
        ("/holds/0190/", "Queue"),
        ("/cases/0190/", "Cases"),
        ("/runs/0190/", "Cases"),
        ("/audit/", "Audit trail"),
    ]:
        assert [item["label"] for item in context.rail(path) if item["current"]] == [label]


def test_scenarios_are_offered_in_the_trial_alone(settings):
    settings.TRIAL = False
    assert "Scenarios" not in [item["label"] for item in context.rail("/")]
    settings.TRIAL = True
    assert "Scenarios" in [item["label"] for item in context.rail("/")]


def test_each_place_has_its_own_key():
    keys = [place.key for place in context.PLACES]
    assert len(set(keys)) == len(keys)


def test_the_page_carries_the_servers_time():
    assert '<meta name="server-now" content="1795341600000">' in shown()


def test_the_import_map_names_every_module_and_is_valid():
    imports = json.loads(found(r'<script type="importmap"[^>]*>(.*?)</script>', shown()))["imports"]
    assert set(imports) == {f"/static/js/{module.name}" for module in tags.MODULES.glob("*.js")}
    assert all(url.startswith("/static/js/") for url in imports.values())


def test_the_settings_of_htmx_are_valid_and_keep_what_a_person_chose():
    config = json.loads(found(r"name=\"htmx-config\" content='(.*?)'", shown()))
    assert config["extensions"] == "ws,hx-csp"
    assert {"aria-current", "open"} <= set(config["morphIgnore"])
    assert "5xx" in config["noSwap"]


def test_signing_out_is_a_post():
    form = found(r'<form method="post" action="/accounts/logout/">.*?</form>', shown())
    assert "csrfmiddlewaretoken" in form


@pytest.mark.parametrize(
    ("cookie", "attribute"), [("dark", 'data-theme="dark"'), ("light", 'data-theme="light"'), ('"><script>', ""), (None, "")]
)
def test_a_chosen_theme_is_written_into_the_page_and_nothing_else_is(cookie, attribute):
    assert tags.theme_of(asked(theme=cookie) if cookie else asked()) == attribute


def test_a_page_of_two_panes_shows_the_list_on_a_phone_until_something_is_named():
    assert 'data-showing="list"' in shown(template="console/panes.html")
    assert 'data-showing="detail"' in shown(template="console/panes.html", showing="detail")


@pytest.mark.parametrize("template", ["400.html", "403.html", "403_csrf.html", "404.html", "500.html"])
def test_the_page_of_an_error_needs_nothing(template):
    page = render_to_string(template)
    assert "Holdfast" in page
    assert "<script" not in page


def test_a_notice_is_text():
    page = render_to_string("console/_notices.html", {"messages": ["<b>etl_reader</b>"], "oob": True})
    assert "&lt;b&gt;etl_reader" in page
    assert 'hx-swap-oob="beforeend:#notices"' in page


def test_time_left_is_a_timer_that_shows_the_moment_without_script():
    element = tags.time_left(datetime(2026, 11, 22, 10, 15, tzinfo=UTC), 900, 'the hold on "x"')
    assert 'role="timer"' in element
    assert 'data-until="1795342500"' in element
    assert ">10:15:00</time-left>" in element
    assert 'data-say="the hold on &quot;x&quot;"' in element


@pytest.mark.parametrize(("number", "level"), [(39.9, "low"), (40, "middle"), (70, "high")])
def test_a_risk_says_which_threshold_it_passed(number, level):
    assert f'data-level="{level}"' in tags.risk(number, 40, 70)


@pytest.mark.parametrize(("name", "letters"), [("Omar Nasser", "ON"), ("ines", "I"), ("maria.lopez", "ML"), ("", "?")])
def test_initials_come_from_the_ends_of_a_name(name, letters):
    assert tags.initials(name) == letters


@pytest.mark.urls("allauth.account.urls")
def test_the_sign_in_page_asks_for_a_name_and_a_password_and_offers_no_sign_up():
    page = render_to_string("account/login.html", request=asked("/accounts/login/"))
    assert set(re.findall(r'<input[^>]* name="(\w+)"', page)) == {"csrfmiddlewaretoken", "login", "password"}
    assert "signup" not in page


@pytest.mark.urls("allauth.account.urls")
@pytest.mark.parametrize("template", ["account/password_change.html", "account/password_set.html", "account/account_inactive.html"])
def test_pages_of_django_allauth_that_we_did_not_write_stand_in_our_card(template):
    page = render_to_string(template, {"form": SetPasswordForm(user=AnonymousUser())}, request=asked())
    assert 'class="door-card' in page
    assert "Menu:" not in page
